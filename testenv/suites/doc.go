// Package suites builds the test suites of PostgreSQL (regression, isolation, libpq_pipeline) from
// Debian's source package, once, keeps them in the cache, and runs them and pgx's own suite against
// any server: PostgreSQL directly, or pgsignet in front of it. It says where two runs differ.
//
// It does not judge a difference: the lists of what may differ are golden files of its tests, which
// run with `make suites` (build tag suites).
package suites
