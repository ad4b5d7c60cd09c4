// Package compat runs real drivers of many languages through the same steps, against PostgreSQL
// directly or through pgsignet, each with a client certificate, and writes the table of
// docs/compatibility.md.
//
// A driver is a program (scripts, node, pgx, libpq) that prints one JSON line per step; this package
// starts it and reads the lines. It does not talk to a server itself.
package compat
