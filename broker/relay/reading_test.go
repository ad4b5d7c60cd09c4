package relay

import (
	"testing"

	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// TestReads: what is prepared behind a statement that may change how literals are read has a print of its own, and
// nothing else has: an application that sets its tenant in every transaction keeps its statements.
func TestReads(t *testing.T) {
	for sql, want := range map[string]bool{
		"select 1":                   false,
		"set local app.tenant = '5'": false,
		"select set_config('app.tenant', $1, true)":                                false,
		"select set_config('search_path', $1, true), set_config('role', $2, true)": false,
		"set local statement_timeout = 5":                                          false,
		"set local datestyle = 'SQL, DMY'":                                         true,
		"set datestyle = 'SQL, DMY'":                                               true,
		"set local datestyle to default":                                           true,
		"set local time zone local":                                                true,
		"select set_config($1, $2, true)":                                          true,
		"set local app.tenant = '5'; set local intervalstyle = 'iso_8601'":         true,
		"reset datestyle":                                                          true,
		"reset all":                                                                true,
		"do $$begin end$$":                                                         true,
	} {
		s, e := &Server{}, sqllex.Classify(sql)
		if s.reads(&e, func() string { return sql }); (s.private != "") != want {
			t.Errorf("%q: got print %q, want one: %t", sql, s.private, want)
		}
	}
}
