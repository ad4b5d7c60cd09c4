// Package pgserver finds a real PostgreSQL, starts it with the certificates, pg_hba.conf and
// pg_ident.conf lines a test or the demo wants, and removes every trace of it afterwards.
//
// It makes no certificates (testenv/pki does), and knows nothing of the broker.
package pgserver
