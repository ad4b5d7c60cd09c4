package sqllex_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// FuzzClassify: no panic; every byte is in a token or between two; and a text means the same with
// other space and comments between its tokens.
func FuzzClassify(f *testing.F) {
	for _, tt := range classifyTests {
		f.Add(tt.sql, uint8(0))
		f.Add(strings.ToUpper(tt.sql), uint8(7))
	}
	gaps := []string{" ", "/**/", "\n", "/* ' /* */ \" */", "\t", "-- $$ '\n"}
	f.Fuzz(func(t *testing.T, sql string, seed uint8) {
		want := sqllex.Tokens(sql)
		if diff := cmp.Diff(want, sqllex.Classify(sql)); diff != "" {
			t.Fatalf("dismissed as harmless: %s", diff)
		}
		l := sqllex.NewLexer(sql)
		var respaced strings.Builder
		end := 0
		last := sqllex.EOF
		for token := l.Next(); token.Kind != sqllex.EOF; token = l.Next() {
			if token.Start < end || token.End <= token.Start || token.End > len(sql) {
				t.Fatalf("token %+v behind %d", token, end)
			}
			end = token.End
			gap := gaps[(int(seed)+end)%len(gaps)]
			if strings.Contains(gap, "\n") && last == sqllex.String {
				gap = gaps[1] // a line break would join two strings
			}
			if last == sqllex.Operator {
				gap = gaps[0] // its last character and a comment's first may begin another comment
			}
			respaced.WriteString(gap + l.Text(token))
			last = token.Kind
		}
		if want.Has(sqllex.Opaque) || l.Ambiguous() {
			return // without an end, or with two readings
		}
		if diff := cmp.Diff(want, sqllex.Classify(respaced.String())); diff != "" {
			t.Fatalf("%q: %s", respaced.String(), diff)
		}
	})
}
