runtime_dir = "odd/junk.crt/run"
audit {
  directory      = "odd/junk.crt"
  checkpoint_key = "nowhere/audit.key"
}
admin {
  address    = "0.0.0.0:9432"
  cert_file  = "pki/admin.crt"
  socket     = "pki/admin.crt"
  locks_file = "nowhere/locks.json"
}
