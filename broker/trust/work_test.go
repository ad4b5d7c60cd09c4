package trust

import (
	"crypto/x509"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/race"
)

// workFigure bounds the CPU of one verification, whatever is presented (T47).
const workFigure = 50 * time.Millisecond

// TestA20WorkIsBounded: nets of intermediates that stay below every limit, and constraints by the
// thousand, cost at most ten times the figure here.
func TestA20WorkIsBounded(t *testing.T) {
	if race.Enabled {
		t.Skip("figures mean nothing under the race detector")
	}
	f := newFixture(t)
	s := f.load(nil)
	for _, kind := range []pki.KeyKind{pki.P256, pki.P384, pki.P521, pki.Ed25519, pki.RSA2048} {
		for _, size := range []int{1, 2, 3, 4, 9} {
			t.Run(fmt.Sprintf("%s net of %d", kind, size), func(t *testing.T) {
				bounded(t, s, f.net(kind, size))
			})
		}
	}
	t.Run("directory name constraints", func(t *testing.T) {
		var bases, names []pki.GeneralName
		for i := range 1200 {
			bases = append(bases, pki.DirectoryName(pki.Name{pki.O(fmt.Sprint(i))}))
		}
		for i := range 64 {
			names = append(names, pki.DirectoryName(pki.Name{pki.O(fmt.Sprint("x", i))}))
		}
		sub := f.Intermediate(f.Clients, pki.Shape{CN: "Sub", Ext: []pki.Extension{pki.NameConstraints(nil, bases)}})
		p := peer(t, f.Issue(sub, pki.Shape{CN: "alice", SAN: names}))
		yes.check(t, s, p, time.Now())
		bounded(t, s, p)
	})
	for _, c := range loadLimbo(t) {
		peer, err := parseAll(append([]string{c.Peer}, c.Untrusted...))
		anchors, err2 := parseAll(c.Trusted)
		if err != nil || err2 != nil {
			continue
		}
		if set, err := newAnchorSet(anchors); err == nil {
			bounded(t, bareSnapshot(set), peer)
		}
	}
}

// net is a leaf below CAs of one name that all sign each other: every order of them is a chain, and
// the last step to the real CA is forged.
func (f *fixture) net(kind pki.KeyKind, size int) []*x509.Certificate {
	f.t.Helper()
	name := pki.Name{pki.CN("Test Clients CA")}
	var cas []*pki.CA
	for range size {
		cas = append(cas, f.Root(pki.Shape{Subject: name, Kind: kind}))
	}
	p := []*x509.Certificate{f.Issue(cas[0], pki.Shape{CN: "alice"}).X509}
	for i, ca := range cas {
		signer := cas[(i+1)%size]
		p = append(p, f.Issue(signer, pki.Shape{Subject: name, IsCA: true, Key: ca.Key}).X509)
	}
	return p
}

// bounded verifies, remembering nothing, and takes the processor time of the best of three runs:
// other processes shall not fail this test.
func bounded(t *testing.T, s *Snapshot, p []*x509.Certificate) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := time.Hour
	var err error
	for range 3 {
		s.cache = newChainCache()
		start := threadTime(t)
		_, err = s.Verify(t.Context(), p, nil, time.Now())
		best = min(best, threadTime(t)-start)
	}
	switch {
	case best > 10*workFigure:
		t.Errorf("%s for %v", best, err)
	case best > workFigure:
		t.Logf("%s for %v", best, err)
	}
}

// threadTime is the processor time of this thread.
func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &ru); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
