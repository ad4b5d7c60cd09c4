package audit

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"time"
)

// folds gathers refusals that come before an identity is proven, which anybody can cause in any number:
// of those of one address, reason and second the first is written at once, the others as one line with
// their count. Another certificate is another line.
type folds struct {
	open map[foldKey]*folded
	next time.Time // when the earliest of their seconds is over; zero when there is none
}

type foldKey struct {
	second             int64 // Unix
	host, reason, cert string
}

// folded is what stands behind the first refusal of its key.
type folded struct {
	rec   Record // the second of them
	count int    // 0: there was no second
}

// maxFolds bounds the keys that are remembered. Refusals beyond are written one by one.
const maxFolds = 10_000

// takes reports whether r was taken in, to be written later.
func (f *folds) takes(r *Record) bool {
	if r.Event != SessionDenied || r.Denial == nil || r.Denial.Stage != "tls" && r.Denial.Stage != "startup" {
		return false
	}
	k := foldKey{second: r.Time.Unix(), reason: r.Denial.Reason}
	if r.Client != nil {
		k.host = r.Client.Addr
		if host, _, err := net.SplitHostPort(r.Client.Addr); err == nil {
			k.host = host
		}
	}
	if r.Cert != nil {
		k.cert = r.Cert.SHA256
	}
	old := f.open[k]
	switch {
	case old == nil && len(f.open) >= maxFolds:
		return false
	case old == nil:
		if f.open == nil {
			f.open = map[foldKey]*folded{}
		}
		f.open[k] = &folded{}
		if over := time.Unix(k.second+1, 0); f.next.IsZero() || over.Before(f.next) {
			f.next = over
		}
		return false
	case old.count == 0:
		old.rec = *r
	}
	old.count += max(r.Denial.Count, 1)
	return true
}

// due returns the lines of the seconds that are over at now, oldest first.
func (f *folds) due(now time.Time) (lines []*Record) {
	if f.next.IsZero() || now.Before(f.next) {
		return nil
	}
	f.next = time.Time{}
	keys := slices.SortedFunc(maps.Keys(f.open), func(a, b foldKey) int {
		return cmp.Or(cmp.Compare(a.second, b.second), cmp.Compare(a.host, b.host), cmp.Compare(a.reason, b.reason), cmp.Compare(a.cert, b.cert))
	})
	for _, k := range keys {
		if over := time.Unix(k.second+1, 0); now.Before(over) {
			f.next = over
			break
		}
		if one := f.open[k]; one.count > 0 {
			denial := *one.rec.Denial
			denial.Count = one.count
			one.rec.Denial = &denial
			lines = append(lines, &one.rec)
		}
		delete(f.open, k)
	}
	return lines
}
