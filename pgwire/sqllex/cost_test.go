package sqllex_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/pgwire/sqllex"
	"github.com/pgsignet/pgsignet/testenv/race"
)

// typical are statements as applications send them.
var typical = map[string]string{
	"select": "SELECT abalance FROM pgbench_accounts WHERE aid = 4711",
	"orm": `SELECT "users"."id", "users"."email", "users"."created_at" FROM "users" ` +
		`WHERE "users"."tenant_id" = $1 AND "users"."deleted_at" IS NULL ORDER BY "users"."id" ASC LIMIT $2`,
	"insert": "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 2, 3, 4, CURRENT_TIMESTAMP)",
	"begin":  "BEGIN",
}

// What applications send most is dismissed without reading its tokens.
func TestDismissed(t *testing.T) {
	for _, sql := range []string{typical["select"], typical["orm"], "SELECT 1;", "", "update t set", "select count(*) from t where a <> 'x' and b = $1::int"} {
		if want := sql != "update t set"; sqllex.Dismissed(sql) != want {
			t.Errorf("%q: dismissed is %v", sql, !want)
		}
	}
}

func TestClassifyAllocates(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	for name, sql := range typical {
		if n := testing.AllocsPerRun(100, func() { sqllex.Classify(sql) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if n := testing.AllocsPerRun(100, func() { sqllex.MaskPasswords(sql) }); n != 0 {
			t.Errorf("%s: %v allocations to mask nothing", name, n)
		}
	}
}

// Texts made to be slow take no longer by the byte than others: 256 KiB of the slowest take 0.2 s,
// where a pass whose cost is the square of its length would take minutes. With the race detector each byte
// takes ten times as long, and a quarter of them is enough.
func TestLinear(t *testing.T) {
	const limit = 20 * time.Second
	size := 256 << 10
	if race.Enabled {
		size /= 4
	}
	for name, part := range map[string]string{
		"set_config": "set_config(", "quotes": "'", "doubled": "''", "backslashes": `\`, "dollars": "$", "tags": "$a",
		"U&": `U&"a"`, "U& with UESCAPE": `U&'' uescape `, "comments": "/*", "dashes": "-", "parentheses": "(",
		"dots": "a.", "semicolons": ";", "set": "set x.", "strings": "'a' ", "escapes": `E'\\' `, "case": "'\\' ",
		"continued": "'a'\n", "passwords": "password ''", "conninfo": "'password=", "uris": "'://",
	} {
		for _, prefix := range []string{"", "E'", "set x = "} {
			sql := prefix + strings.Repeat(part, size/len(part))
			took := time.Hour
			for try := 0; try < 3 && took > limit; try++ { // a machine may stop for as long
				began := time.Now()
				sqllex.Classify(sql)
				sqllex.MaskPasswords(sql)
				sqllex.Fingerprint(sql)
				took = time.Since(began)
			}
			if took > limit {
				t.Errorf("%s behind %q: %v", name, prefix, took)
			}
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	for name, sql := range typical {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(sql)))
			b.ReportAllocs()
			for b.Loop() {
				sqllex.Classify(sql)
			}
		})
	}
}

func BenchmarkMaskPasswords(b *testing.B) {
	sql := typical["orm"]
	b.SetBytes(int64(len(sql)))
	b.ReportAllocs()
	for b.Loop() {
		sqllex.MaskPasswords(sql)
	}
}

func BenchmarkFingerprint(b *testing.B) {
	sql := typical["orm"]
	b.SetBytes(int64(len(sql)))
	b.ReportAllocs()
	for b.Loop() {
		sqllex.Fingerprint(sql)
	}
}
