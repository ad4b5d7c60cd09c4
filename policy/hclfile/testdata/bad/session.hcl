map "m" {
  match { cn = "a" }
  role      = "a"
  databases = ["orders"]
  pool_mode = "transactions"
  audit     = "all"
  from      = ["10.0.0.0/33", "10.0.0.0/8"]
  limits {
    sessions = 0
    pool     = 1.5
  }
  session {
    statement_timeout = 30
    idle_timeout      = "15"
    stamp             = ["identity", "secret"]
    settings = {
      "pgsignet.token" = "x"
      "Role"           = "postgres"
      "work-mem"       = "1MB"
      "work_mem"       = "1MB"
      "WORK_MEM"       = "2MB"
      "app.caller"     = cert.spifee
      "app.list"       = cert.ou
    }
  }
}
