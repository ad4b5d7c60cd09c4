#!/bin/sh
# psql: each step is a psql process or two; prints one JSON line per step.
# COMPAT_PSQL is the program, the server is that of the PG* variables, COMPAT_DIR a folder for files.
psql="${COMPAT_PSQL:-psql}"
table=$COMPAT_TABLE
dir=$COMPAT_DIR
export PSQLRC=/dev/null

quote() { printf '%s' "$1" | tr '\n\t' '  ' | sed 's/\\/\\\\/g; s/"/\\"/g'; }
report() { printf '{"step":"%s","status":"%s","detail":"%s"}\n' "$1" "$2" "$(quote "$3")"; }
run() { "$psql" -X -q -A -t -v ON_ERROR_STOP=1 "$@" 2>&1; }

# same STEP GOT WANT [DETAIL]
same() {
	if [ "$2" = "$3" ]; then report "$1" ok "$4"; else report "$1" fail "got $(printf '%.200s' "$2"), want $3"; fi
}

version=$("$psql" --version | sed 's/[^0-9]*\([0-9.]*\).*/\1/')
printf '{"driver":"psql","version":"%s","library":"%s"}\n' "$version" "$COMPAT_LIBRARY"

if [ -n "$COMPAT_REFUSED" ]; then
	if out=$(run -c 'SELECT 1'); then report refused fail 'the login succeeded'; else report refused ok "$out"; fi
	exit 0
fi

same simple "$(run -c 'SELECT 1 + 1')" 2 "$COMPAT_LIBRARY"

report parameters none '\bind came with psql 16'

same prepared "$(run -c 'PREPARE compat_p (int) AS SELECT $1 * 2' -c 'EXECUTE compat_p (1)' -c 'EXECUTE compat_p (2)' | tr '\n' ' ')" \
	'2 4 ' "with SQL's PREPARE"

out=$(run -v ON_ERROR_STOP=0 <<SQL
SET client_min_messages = warning;
DROP TABLE IF EXISTS $table; CREATE TABLE $table (id int, name text);
BEGIN;
INSERT INTO $table VALUES (1, 'lost');
SELECT 1/0;
\\echo :LAST_ERROR_SQLSTATE
SELECT 1;
\\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN; INSERT INTO $table VALUES (2, 'kept'); COMMIT;
SELECT string_agg(name, ',') FROM $table;
SQL
)
same transaction "$(printf '%s\n' "$out" | grep -v '^ERROR' | tr '\n' ' ')" '22012 25P02 kept '

seq 0 999 | awk '{ printf "%d\trow %d\n", $1, $1 }' >"$dir/rows"
same copy_in "$(run -c "TRUNCATE $table" -c "\\copy $table FROM '$dir/rows'" -c "SELECT count(*) FROM $table")" 1000 '\copy from'
run -c "\\copy (SELECT * FROM $table ORDER BY id) TO '$dir/out'" >"$dir/said"
if cmp -s "$dir/rows" "$dir/out"; then report copy_out ok '\copy to'; else report copy_out fail "$(cat "$dir/said")"; fi

{ printf "SELECT length('"; head -c 10485760 /dev/zero | tr '\0' x; printf "');"; } >"$dir/large.sql"
up=$(run -f "$dir/large.sql")
down=$(run -c "SELECT repeat('x', 10485760)" | wc -c)
same large "$up $((down))" '10485760 10485761' 'as a literal, and as a row'

"$psql" -X -c "SELECT pg_sleep(30) /* cancel $table */" >"$dir/cancelled" 2>&1 & # not run: the signal is for psql itself
pid=$!
n=0
while [ "$(run -c "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%pg_sleep%$table%' AND pid <> pg_backend_pid()")" != 1 ] && [ $n -lt 200 ]; do
	n=$((n + 1))
	sleep 0.05
done
kill -INT $pid
wait $pid
case $(cat "$dir/cancelled") in
*'canceling statement due to user request'*) report cancel ok 'Ctrl-C' ;;
*) report cancel fail "$(cat "$dir/cancelled")" ;;
esac

out=$(run -c "LISTEN compat_$table" -c "NOTIFY compat_$table, 'hello'")
case $out in
*'payload "hello"'*) report notify ok '' ;;
*) report notify fail "$out" ;;
esac

report pipeline none 'came with psql 18'
