# Imported from pg_ident.conf by pgsignet import. A login is granted here when PostgreSQL grants it,
# but for what the comments say. Known to differ (see the manual): a captured postgres, pg_* or
# managed superuser is refused; so is an empty capture; where an expression without a capture ends
# PostgreSQL's search, later lines are still tried; a user name over 63 bytes is refused; replication
# needs replication = true. Each database needs a database block; "*" is every one that has.

# pg_ident.conf:4: staff   /^(.*)@example\.com$            \1
# Names with non-ASCII letters may be read differently: PostgreSQL matches . byte by byte (T5).
map "staff line 4" {
  match { cn = "/^(.*)@example[.]com$" }
  role      = "\\1"
  databases = ["*"]
}

# pg_ident.conf:5: staff   /^(.*)@(?:eu|us)\.example\.com$ \1
# Names with non-ASCII letters may be read differently: PostgreSQL matches . byte by byte (T5).
map "staff line 5" {
  match { cn = "/^(.*)@(?:eu|us)[.]example[.]com$" }
  role      = "\\1"
  databases = ["*"]
}

# pg_ident.conf:6: staff   bryanh                          bryanh
# pg_ident.conf:10: staff   bryanh                          guest1
map "staff line 6" {
  match { cn = "bryanh" }
  roles     = ["bryanh", "guest1"]
  databases = ["*"]
}

# pg_ident.conf:7: staff   ann                             ann
# pg_ident.conf:12: staff   ann                                     guest1
map "staff line 7" {
  match { cn = "ann" }
  roles     = ["ann", "guest1"]
  databases = ["*"]
}

# pg_ident.conf:9: staff   robert                          bob
map "staff line 9" {
  match { cn = "robert" }
  role      = "bob"
  databases = ["*"]
}

# pg_ident.conf:11: staff   "quoted name"                   "Role, with comma"  ignored
# PostgreSQL ignores what follows the third field (T11).
map "staff line 11" {
  match { cn = "quoted name" }
  role      = "Role, with comma"
  databases = ["*"]
}

# pg_ident.conf:16: open    /lic                            alice
# PostgreSQL finds the expression anywhere in the name, so .* is written at its open ends. Is that
# meant? (T4)
map "open line 16" {
  match { cn = "/.*lic.*" }
  role      = "alice"
  databases = ["*"]
}

# pg_ident.conf:17: open    /^svc-                          service
# PostgreSQL finds the expression anywhere in the name, so .* is written at its open ends. Is that
# meant? (T4)
map "open line 17" {
  match { cn = "/^svc-.*" }
  role      = "service"
  databases = ["*"]
}

# pg_ident.conf:18: open    /^alice|bob$                    either
# PostgreSQL finds the expression anywhere in the name, so .* is written at its open ends. Is that
# meant? (T4)
map "open line 18" {
  match { cn = "/^alice.*|.*bob$" }
  role      = "either"
  databases = ["*"]
}

# pg_ident.conf:19: open    "/quoted$"                      quoted
# PostgreSQL finds the expression anywhere in the name, so .* is written at its open ends. Is that
# meant? (T4)
map "open line 19" {
  match { cn = "/.*quoted$" }
  role      = "quoted"
  databases = ["*"]
}

# pg_ident.conf:22: odd     /^(a|al)(l|li)?ice$             \1
# LEFT OUT: \1 holds an alternation or an optional part: PostgreSQL takes the longest, RE2 the first
# (T7)

# pg_ident.conf:23: odd     /^(alice)?$                     \1
# LEFT OUT: \1 may take no part: its brackets stand in an alternation or are repeated (T7, T8)

# pg_ident.conf:24: odd     /^(?:x|xa)a([a-z]+)$            \1
# LEFT OUT: \1 depends on which alternative is tried first: PostgreSQL takes the longest, RE2 the
# first (T7)

# pg_ident.conf:25: odd     /(?=a)b                         look
# LEFT OUT: RE2 has no look-around (?=...) (T6)

# pg_ident.conf:26: odd     /(a)\1                          back
# LEFT OUT: RE2 has no back-reference \1 (T6)

# pg_ident.conf:27: odd     /\mword                         word
# LEFT OUT: RE2 has no \m (T6)

# pg_ident.conf:28: odd     /(?x)a                          expanded
# LEFT OUT: RE2 has no option (?x) (T6)

# pg_ident.conf:29: odd     /^al$                           \1
# LEFT OUT: \1 without brackets in the expression: PostgreSQL refuses the login and reads no further
# (T8)

# pg_ident.conf:30: odd     /^(.*)$                         \1_\2
# LEFT OUT: PostgreSQL replaces the first \1 only; the role's other \1 to \9 stand for themselves
# (T8)

# pg_ident.conf:31: odd     literal                         \1
# LEFT OUT: without an expression the role is called \1 by name, which here is a capture

# pg_ident.conf:32: odd     someone                         all
# LEFT OUT: all is every role from PostgreSQL 16 on: list the roles (T10)

# pg_ident.conf:33: odd     someone                         +dba
# LEFT OUT: + is a group's members from PostgreSQL 16 on: list the roles (T10)

# pg_ident.conf:34: odd     someone                         /^db_
# LEFT OUT: / is an expression on the role asked for from PostgreSQL 16 on: list the roles (T10)

# pg_ident.conf:35: odd     someone                         "all"
# pg_ident.conf:36: odd     someone                         "+dba"
map "odd line 35" {
  match { cn = "someone" }
  roles     = ["all", "+dba"]
  databases = ["*"]
}

# pg_ident.conf:37: odd     dollar                          a$1
map "odd line 37" {
  match { cn = "dollar" }
  role      = "a$$1"
  databases = ["*"]
}

# pg_ident.conf:38: odd     josé                            jose
map "odd line 38" {
  match { cn = "josé" }
  role      = "jose"
  databases = ["*"]
}

# pg_ident.conf:39: odd     /^jos[é]$                       jose
# LEFT OUT: PostgreSQL reads non-ASCII inside [...] byte by byte (T5)

# pg_ident.conf:40: odd     /(?i)^Carol$                    carol
# Names with non-ASCII letters may be read differently: PostgreSQL matches (?i) byte by byte (T5).
map "odd line 40" {
  match { cn = "/(?i)^Carol$" }
  role      = "carol"
  databases = ["*"]
}

# pg_ident.conf:41: odd     long                            r234567890123456789012345678901234567890123456789012345678901234
# LEFT OUT: a role has at most 63 bytes, so PostgreSQL never grants this one (T12)

# pg_ident.conf:42: odd     @users/one.txt                  listed
map "odd line 42" {
  match { cn = "carol" }
  role      = "listed"
  databases = ["*"]
}

# pg_ident.conf:43: odd     ""                              nobody
# LEFT OUT: no certificate has an empty name

# pg_ident.conf:46: staff   dave@example.com                dave
# LEFT OUT: map "staff line 4" comes first and grants every login that it would.
