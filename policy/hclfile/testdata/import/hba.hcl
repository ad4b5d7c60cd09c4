# Imported from pg_ident.conf and pg_hba.conf by pgsignet import. A login is granted here when
# PostgreSQL grants it, but for what the comments say. Known to differ (see the manual): a captured
# postgres, pg_* or managed superuser is refused; so is an empty capture; where an expression without
# a capture ends PostgreSQL's search, later lines are still tried; a user name over 63 bytes is
# refused; replication needs replication = true. Each database needs a database block; "*" is every
# one that has.

# pg_hba.conf:3: host    all             postgres        0.0.0.0/0               reject
# LEFT OUT: reject is no login by certificate. Later lines do not let in what this one takes.

# pg_hba.conf:4: hostssl orders          all             10.0.0.0/8              cert map=staff
# pg_ident.conf:4: staff   /^(.*)@example\.com$            \1
# Names with non-ASCII letters may be read differently: PostgreSQL matches . byte by byte (T5).
map "staff line 4, pg_hba.conf line 4" {
  match { cn = "/^(.*)@example[.]com$" }
  role      = "\\1"
  databases = ["orders"]
  from      = ["10.0.0.0/8"]
  when      = !(request.user == "postgres")
}

# pg_hba.conf:4: hostssl orders          all             10.0.0.0/8              cert map=staff
# pg_ident.conf:5: staff   /^(.*)@(?:eu|us)\.example\.com$ \1
# Names with non-ASCII letters may be read differently: PostgreSQL matches . byte by byte (T5).
map "staff line 5, pg_hba.conf line 4" {
  match { cn = "/^(.*)@(?:eu|us)[.]example[.]com$" }
  role      = "\\1"
  databases = ["orders"]
  from      = ["10.0.0.0/8"]
  when      = !(request.user == "postgres")
}

# pg_hba.conf:4: hostssl orders          all             10.0.0.0/8              cert map=staff
# pg_ident.conf:6: staff   bryanh                          bryanh
# pg_ident.conf:10: staff   bryanh                          guest1
map "staff line 6, pg_hba.conf line 4" {
  match { cn = "bryanh" }
  roles     = ["bryanh", "guest1"]
  databases = ["orders"]
  from      = ["10.0.0.0/8"]
  when      = !(request.user == "postgres")
}

# pg_hba.conf:4: hostssl orders          all             10.0.0.0/8              cert map=staff
# pg_ident.conf:7: staff   ann                             ann
# pg_ident.conf:12: staff   ann                                     guest1
map "staff line 7, pg_hba.conf line 4" {
  match { cn = "ann" }
  roles     = ["ann", "guest1"]
  databases = ["orders"]
  from      = ["10.0.0.0/8"]
  when      = !(request.user == "postgres")
}

# pg_hba.conf:4: hostssl orders          all             10.0.0.0/8              cert map=staff
# pg_ident.conf:9: staff   robert                          bob
map "staff line 9, pg_hba.conf line 4" {
  match { cn = "robert" }
  role      = "bob"
  databases = ["orders"]
  from      = ["10.0.0.0/8"]
  when      = !(request.user == "postgres")
}

# pg_hba.conf:4: hostssl orders          all             10.0.0.0/8              cert map=staff
# pg_ident.conf:11: staff   "quoted name"                   "Role, with comma"  ignored
# PostgreSQL ignores what follows the third field (T11).
map "staff line 11, pg_hba.conf line 4" {
  match { cn = "quoted name" }
  role      = "Role, with comma"
  databases = ["orders"]
  from      = ["10.0.0.0/8"]
  when      = !(request.user == "postgres")
}

# pg_hba.conf:4: hostssl orders          all             10.0.0.0/8              cert map=staff
# pg_ident.conf:46: staff   dave@example.com                dave
# LEFT OUT: map "staff line 4, pg_hba.conf line 4" comes first and grants every login that it would.

# pg_hba.conf:5: hostssl orders,reports  ann,bob         10.1.0.0 255.255.0.0    cert map=open
# pg_ident.conf:16: open    /lic                            alice
# LEFT OUT: the user field of pg_hba.conf does not name this role.

# pg_hba.conf:5: hostssl orders,reports  ann,bob         10.1.0.0 255.255.0.0    cert map=open
# pg_ident.conf:17: open    /^svc-                          service
# LEFT OUT: the user field of pg_hba.conf does not name this role.

# pg_hba.conf:5: hostssl orders,reports  ann,bob         10.1.0.0 255.255.0.0    cert map=open
# pg_ident.conf:18: open    /^alice|bob$                    either
# LEFT OUT: the user field of pg_hba.conf does not name this role.

# pg_hba.conf:5: hostssl orders,reports  ann,bob         10.1.0.0 255.255.0.0    cert map=open
# pg_ident.conf:19: open    "/quoted$"                      quoted
# LEFT OUT: the user field of pg_hba.conf does not name this role.

# pg_hba.conf:6: hostssl all             all             10.0.0.0/8              cert map=staff
# pg_ident.conf:4: staff   /^(.*)@example\.com$            \1
# Names with non-ASCII letters may be read differently: PostgreSQL matches . byte by byte (T5).
map "staff line 4, pg_hba.conf line 6" {
  match { cn = "/^(.*)@example[.]com$" }
  role      = "\\1"
  databases = ["*"]
  from      = ["10.0.0.0/8"]
  when      = !(request.user == "postgres") && !(request.database == "orders") && !(contains(["orders", "reports"], request.database) && contains(["ann", "bob"], request.user) && cidrcontains("10.1.0.0/16", request.address))
}

# pg_hba.conf:6: hostssl all             all             10.0.0.0/8              cert map=staff
# pg_ident.conf:5: staff   /^(.*)@(?:eu|us)\.example\.com$ \1
# Names with non-ASCII letters may be read differently: PostgreSQL matches . byte by byte (T5).
map "staff line 5, pg_hba.conf line 6" {
  match { cn = "/^(.*)@(?:eu|us)[.]example[.]com$" }
  role      = "\\1"
  databases = ["*"]
  from      = ["10.0.0.0/8"]
  when      = !(request.user == "postgres") && !(request.database == "orders") && !(contains(["orders", "reports"], request.database) && contains(["ann", "bob"], request.user) && cidrcontains("10.1.0.0/16", request.address))
}

# pg_hba.conf:6: hostssl all             all             10.0.0.0/8              cert map=staff
# pg_ident.conf:6: staff   bryanh                          bryanh
# pg_ident.conf:10: staff   bryanh                          guest1
map "staff line 6, pg_hba.conf line 6" {
  match { cn = "bryanh" }
  roles     = ["bryanh", "guest1"]
  databases = ["*"]
  from      = ["10.0.0.0/8"]
  when      = !(request.user == "postgres") && !(request.database == "orders") && !(contains(["orders", "reports"], request.database) && contains(["ann", "bob"], request.user) && cidrcontains("10.1.0.0/16", request.address))
}

# pg_hba.conf:6: hostssl all             all             10.0.0.0/8              cert map=staff
# pg_ident.conf:7: staff   ann                             ann
# pg_ident.conf:12: staff   ann                                     guest1
map "staff line 7, pg_hba.conf line 6" {
  match { cn = "ann" }
  roles     = ["ann", "guest1"]
  databases = ["*"]
  from      = ["10.0.0.0/8"]
  when      = !(request.user == "postgres") && !(request.database == "orders") && !(contains(["orders", "reports"], request.database) && contains(["ann", "bob"], request.user) && cidrcontains("10.1.0.0/16", request.address))
}

# pg_hba.conf:6: hostssl all             all             10.0.0.0/8              cert map=staff
# pg_ident.conf:9: staff   robert                          bob
map "staff line 9, pg_hba.conf line 6" {
  match { cn = "robert" }
  role      = "bob"
  databases = ["*"]
  from      = ["10.0.0.0/8"]
  when      = !(request.user == "postgres") && !(request.database == "orders") && !(contains(["orders", "reports"], request.database) && contains(["ann", "bob"], request.user) && cidrcontains("10.1.0.0/16", request.address))
}

# pg_hba.conf:6: hostssl all             all             10.0.0.0/8              cert map=staff
# pg_ident.conf:11: staff   "quoted name"                   "Role, with comma"  ignored
# PostgreSQL ignores what follows the third field (T11).
map "staff line 11, pg_hba.conf line 6" {
  match { cn = "quoted name" }
  role      = "Role, with comma"
  databases = ["*"]
  from      = ["10.0.0.0/8"]
  when      = !(request.user == "postgres") && !(request.database == "orders") && !(contains(["orders", "reports"], request.database) && contains(["ann", "bob"], request.user) && cidrcontains("10.1.0.0/16", request.address))
}

# pg_hba.conf:6: hostssl all             all             10.0.0.0/8              cert map=staff
# pg_ident.conf:46: staff   dave@example.com                dave
# LEFT OUT: map "staff line 4, pg_hba.conf line 6" comes first and grants every login that it would.

# pg_hba.conf:7: hostssl sameuser        all             all                     cert
map "pg_hba.conf line 7" {
  match { cn = "/^(.*)$" }
  role      = "\\1"
  databases = ["*"]
  when      = request.database == request.user && !(request.user == "postgres" && cidrcontains("0.0.0.0/0", request.address)) && !(request.database == "orders" && cidrcontains("10.0.0.0/8", request.address)) && !(contains(["orders", "reports"], request.database) && contains(["ann", "bob"], request.user) && cidrcontains("10.1.0.0/16", request.address)) && !(cidrcontains("10.0.0.0/8", request.address))
}

# pg_hba.conf:8: hostssl legacy          all             all                     scram-sha-256
# LEFT OUT: scram-sha-256 is no login by certificate. Later lines do not let in what this one takes.

# pg_hba.conf:9: hostssl replication     all             all                     cert map=staff
# LEFT OUT: For replication connections write replication = true in a map of its own.

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:22: odd     /^(a|al)(l|li)?ice$             \1
# LEFT OUT: \1 holds an alternation or an optional part: PostgreSQL takes the longest, RE2 the first
# (T7)

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:23: odd     /^(alice)?$                     \1
# LEFT OUT: \1 may take no part: its brackets stand in an alternation or are repeated (T7, T8)

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:24: odd     /^(?:x|xa)a([a-z]+)$            \1
# LEFT OUT: \1 depends on which alternative is tried first: PostgreSQL takes the longest, RE2 the
# first (T7)

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:25: odd     /(?=a)b                         look
# LEFT OUT: RE2 has no look-around (?=...) (T6)

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:26: odd     /(a)\1                          back
# LEFT OUT: RE2 has no back-reference \1 (T6)

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:27: odd     /\mword                         word
# LEFT OUT: RE2 has no \m (T6)

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:28: odd     /(?x)a                          expanded
# LEFT OUT: RE2 has no option (?x) (T6)

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:29: odd     /^al$                           \1
# LEFT OUT: \1 without brackets in the expression: PostgreSQL refuses the login and reads no further
# (T8)

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:30: odd     /^(.*)$                         \1_\2
# LEFT OUT: PostgreSQL replaces the first \1 only; the role's other \1 to \9 stand for themselves
# (T8)

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:31: odd     literal                         \1
# LEFT OUT: without an expression the role is called \1 by name, which here is a capture

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:32: odd     someone                         all
# LEFT OUT: all is every role from PostgreSQL 16 on: list the roles (T10)

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:33: odd     someone                         +dba
# LEFT OUT: + is a group's members from PostgreSQL 16 on: list the roles (T10)

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:34: odd     someone                         /^db_
# LEFT OUT: / is an expression on the role asked for from PostgreSQL 16 on: list the roles (T10)

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:35: odd     someone                         "all"
# LEFT OUT: "someone" is not a DN such as CN=alice,O=Example.

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:36: odd     someone                         "+dba"
# LEFT OUT: the user field of pg_hba.conf does not name this role.

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:37: odd     dollar                          a$1
# LEFT OUT: the user field of pg_hba.conf does not name this role.

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:38: odd     josé                            jose
# LEFT OUT: the user field of pg_hba.conf does not name this role.

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:39: odd     /^jos[é]$                       jose
# LEFT OUT: PostgreSQL reads non-ASCII inside [...] byte by byte (T5)

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:40: odd     /(?i)^Carol$                    carol
# LEFT OUT: the user field of pg_hba.conf does not name this role.

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:41: odd     long                            r234567890123456789012345678901234567890123456789012345678901234
# LEFT OUT: a role has at most 63 bytes, so PostgreSQL never grants this one (T12)

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:42: odd     @users/one.txt                  listed
# LEFT OUT: the user field of pg_hba.conf does not name this role.

# pg_hba.conf:10: hostssl extra           "all",guest1    192.0.2.0/24            cert clientname=DN map=odd
# pg_ident.conf:43: odd     ""                              nobody
# LEFT OUT: no certificate has an empty name

# pg_hba.conf:11: hostssl samerole        all             all                     cert
# LEFT OUT: "samerole" is something only the server can tell. Write the names. Later lines that may
# meet the same logins are left out too.

# pg_hba.conf:12: hostssl last            all             all                     cert map=open
# LEFT OUT: line 11 decides some of these logins, and only the server can tell which (samerole)
