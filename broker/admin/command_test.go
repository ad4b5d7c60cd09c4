package admin

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

func TestParse(t *testing.T) {
	hash := "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, tt := range []struct {
		sql  string
		want []Command // nil: an error
	}{
		{"", []Command{}},
		{" ; -- ping\n; /* x */", []Command{}},
		{"show Pools;", []Command{{Verb: "SHOW", Name: "pools"}}},
		{"SELECT version", []Command{{Verb: "SHOW", Name: "version"}}},
		{`pause "My Db"`, []Command{{Verb: "PAUSE", Name: "My Db"}}},
		{"PAUSE; RESUME", []Command{{Verb: "PAUSE"}, {Verb: "RESUME"}}},
		{"kill orders", []Command{{Verb: "KILL", Name: "orders"}}},
		{"kill cert", []Command{{Verb: "KILL", Name: "cert"}}},
		{"KILL SESSION '0199'", []Command{{Verb: "KILL SESSION", Name: "0199"}}},
		{"shutdown wait_for_clients", []Command{{Verb: "SHUTDOWN", Name: "WAIT_FOR_CLIENTS"}}},
		{"deallocate _PG3_0", []Command{{Verb: "DEALLOCATE", Name: "_pg3_0"}}},
		{`DEALLOCATE prepare "X"`, []Command{{Verb: "DEALLOCATE", Name: "X"}}},
		{"deallocate all", []Command{{Verb: "DEALLOCATE"}}},
		{"set x to 'a;b'", []Command{{Verb: "SET", Name: "x"}}},
		{"start transaction isolation level serializable", []Command{{Verb: "START TRANSACTION"}}},
		{"LOCK CERT DN 'CN=O''Neil' FOR '1 day 12 hours' REASON 'x'", []Command{{
			Verb: "LOCK CERT", Target: Target{Kind: "dn", Value: "CN=O'Neil"}, For: 36 * time.Hour, Reason: "x"}}},
		{"lock cert sha256 '" + hash + "'", []Command{{Verb: "LOCK CERT", Target: Target{Kind: "sha256", Value: hash}}}},
		{"unlock cert serial '00:4F:1c' issuer 'CN=CA'", []Command{{
			Verb: "UNLOCK CERT", Target: Target{Kind: "serial", Value: "4f1c", Issuer: "CN=CA"}}}},
		{sql: "lock cert serial '4f1c'"},
		{sql: "lock cert sha256 '4f1c'"},
		{sql: "lock cert dn 'CN=x' for 'soon'"},
		{sql: "lock cert dn CN"},
		{sql: "unlock cert dn 'CN=x' for '1h'"},
		{sql: "show"}, {sql: "show pools stats"}, {sql: "show fds"}, {sql: "disable"}, {sql: "kill_client x"},
		{sql: "shutdown now"}, {sql: "pause 'x"}, {sql: "/* x"}, {sql: "drop table x"}, {sql: "show \xff"}, {sql: "pause a b"}, {sql: "deallocate"}, {sql: "deallocate all x"},
	} {
		got, err := parseAll(tt.sql)
		if (err != nil) != (tt.want == nil) || !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %+v, %v, want %+v", tt.sql, got, err, tt.want)
		}
	}
}

// A numeric in binary is what a driver's decoder makes of it.
func TestNumeric(t *testing.T) {
	m := pgtype.NewMap()
	for _, n := range []int64{0, 1, -1, 9999, 10_000, 10_001, 120_000_000, -98_765_432_101, 1<<63 - 1, -1 << 63} {
		var got pgtype.Numeric
		if err := m.Scan(typeNumeric, 1, numeric(n), &got); err != nil {
			t.Fatal(err)
		}
		if v, err := got.Int64Value(); err != nil || v.Int64 != n {
			t.Errorf("%d: decoded as %v, %v", n, v, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"SHOW POOLS;", "LOCK CERT DN 'a''b' FOR '1 day' REASON 'x'", "PAUSE \"a\"\"b\" -- c\n;/**/", "KILL_CLIENT 99"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		list, err := parseAll(sql)
		if err != nil {
			return
		}
		for _, c := range list {
			if c.Verb == "" {
				t.Errorf("%q: a command without a verb", sql)
			}
			if again := c.Target; again.Kind != "" && again.normalize() != nil || again != c.Target {
				t.Errorf("%q: target %v is not normal", sql, c.Target)
			}
			c.Args()
			c.Columns()
		}
	})
}
