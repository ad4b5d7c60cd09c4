#!/bin/sh
# What the official PostgreSQL image promises, as far as docker-compose.yml relies on it: a first start
# makes the cluster and POSTGRES_DB, with the server on its socket alone, and runs
# /docker-entrypoint-initdb.d; then the server runs as postgres with the arguments given.
set -eu
[ "${1:-}" = postgres ] || exec "$@"
mkdir -p "$PGDATA" /var/run/postgresql
chown -R postgres:postgres "$PGDATA" /var/run/postgresql
chmod 700 "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
		echo "Error: Database is uninitialized and superuser password is not specified." >&2
		exit 1
	fi
	gosu postgres initdb -D "$PGDATA" >/dev/null
	echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
	gosu postgres pg_ctl -D "$PGDATA" -o "-c listen_addresses='' $(shift; printf '%s ' "$@")" -w start
	db=${POSTGRES_DB:-postgres}
	[ "$db" = postgres ] || gosu postgres createdb "$db"
	for f in /docker-entrypoint-initdb.d/*; do
		case $f in
		*.sh) . "$f" ;;
		*.sql) gosu postgres psql -v ON_ERROR_STOP=1 -d "$db" -f "$f" ;;
		esac
	done
	gosu postgres pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec gosu postgres "$@"
