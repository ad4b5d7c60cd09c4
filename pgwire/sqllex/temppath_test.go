package sqllex_test

import (
	"testing"

	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// TestTempPath: what may make a table temporary that does not say so, and what makes tables.
func TestTempPath(t *testing.T) {
	for _, tt := range []struct {
		sql  string
		want sqllex.Flags
	}{
		{"select 1; set a = 'b'; set local search_path = a", none},
		{"select set_config('search_path', 'a', true)", none},
		{"select set_config('a', $1, true)", none},
		{"insert into t select 1", none},
		{"merge into t using s on true when matched then do nothing", none},
		{"set search_path = pg_temp", tempPath},
		{"set local search_path to 'PG_TEMP', a", tempPath},
		{"set schema 'pg_temp'", tempPath},
		{"select set_config('search_path', 'pg_temp', true)", tempPath},
		{"select set_config('search_path', $1, true)", tempPath},
		{"select set_config('SEARCH_path', 'pg_' || 'temp', false)", tempPath},
		{"select set_config($1, 'a', true)", tempPath},
		{"create table t ()", creates},
		{"explain analyze create table t as select 1", creates},
		{"select 1 as a into t", creates},
		{"select insert into t from (select 1 as insert) as x", creates},
		{"select set_config('search_path', $1, true); create table t ()", tempPath | creates},
	} {
		if got := sqllex.Classify(tt.sql); got.Flags&(creates|tempPath) != tt.want {
			t.Errorf("%q: got %s, want %s", tt.sql, got.Flags, tt.want)
		}
	}
}

func TestStatementsCounted(t *testing.T) {
	for sql, want := range map[string]int{
		"": 0, ";;": 0, "select 1": 1, "select 1;": 1, "select 1;;select 2;": 2, "/* ; */ -- ;\n": 0, "select ';'": 1,
	} {
		if got := sqllex.Classify(sql).Statements; got != want {
			t.Errorf("%q: got %d, want %d", sql, got, want)
		}
	}
}
