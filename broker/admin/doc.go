// Package admin is how people and programs look at a running broker: metrics and health over HTTP,
// and the SQL console that speaks PgBouncer's language.
//
// It knows nothing of the broker but the plain values and the few functions that it is given; it
// opens no socket, decides no login, and never logs.
package admin
