package suites

import "testing"

// A notice may come before or after another session's lines, and not in another order of its own session, nor be lost.
func TestSameResult(t *testing.T) {
	const (
		n1 = "s1: NOTICE:  called\n"
		n2 = "s1: NOTICE:  acquiring\n"
		o1 = "s2: NOTICE:  called\n"
		x  = "step s1_upsert: INSERT <waiting ...>\n"
		y  = "step controller_show: SELECT\n"
	)
	for _, tt := range []struct {
		second string
		want   bool
	}{
		{n1 + n2 + x + o1 + y, true}, {n1 + x + n2 + y + o1, true},
		{n2 + n1 + x + o1 + y, false}, {n1 + x + o1 + y, false}, {n1 + n2 + y + o1 + x, false}, {n1 + n2 + n2 + x + o1 + y, false},
	} {
		if got := sameResult([]byte(n1+n2+x+o1+y), []byte(tt.second)); got != tt.want {
			t.Errorf("%v, want %v of\n%s", got, tt.want, tt.second)
		}
	}
}
