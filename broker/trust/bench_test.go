package trust

import (
	"crypto/x509"
	"math/big"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/race"
)

// The figures of this package: benchmarks show them, TestFigures asserts ten times as much.
const (
	rememberedFigure = 5 * time.Microsecond
	coldFigure       = 400 * time.Microsecond
	crlLoadFigure    = 3 * time.Second
	crlHeldFigure    = 100 << 20 // bytes
	lookupFigure     = time.Microsecond
	millionEntries   = 1_000_000
)

// benchLogin is a listener with a CRL, and a chain of two P-256 certificates.
func benchLogin(tb testing.TB) (*Snapshot, []*x509.Certificate) {
	f := newCRLFixture(tb)
	f.cfg.CRL = []string{f.crl(f.Clients, "a.crl", revoke(f.bob))}
	return f.load(nil), peer(tb, f.alice)
}

func verifyN(tb testing.TB, s *Snapshot, p []*x509.Certificate, cold bool) {
	if cold {
		s.cache = newChainCache()
	}
	if _, err := s.Verify(tb.Context(), p, nil, time.Now()); err != nil {
		tb.Fatal(err)
	}
}

func BenchmarkVerify(b *testing.B) {
	s, p := benchLogin(b)
	verifyN(b, s, p, false)
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			verifyN(b, s, p, false)
		}
	})
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			verifyN(b, s, p, true)
		}
	})
	b.Run("recheck", func(b *testing.B) {
		v, err := s.Verify(b.Context(), p, nil, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		next := *s // as after a changed CRL
		b.ReportAllocs()
		for b.Loop() {
			if _, err := next.Recheck(v, time.Now()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// millionCRL is a list of a million random 16-octet serials in DER, made once.
var millionCRL = sync.OnceValues(func() ([]byte, error) {
	ca, err := pki.NewRoot(pki.Shape{CN: "Big CA"})
	if err != nil {
		return nil, err
	}
	s := pki.CRLShape{Revoked: make([]pki.Revoked, millionEntries)}
	at, n := time.Now(), uint64(0)
	for i := range s.Revoked {
		n = n*6364136223846793005 + 1442695040888963407 // Knuth's MMIX generator: spread, repeatable
		hi := new(big.Int).SetUint64(n>>1 | 1<<62)
		s.Revoked[i] = pki.Revoked{Serial: hi.Lsh(hi, 64).SetBit(hi, i%64, 1), At: at, Reason: i % 2 * 4} // superseded, or none
	}
	return ca.CRL(s)
})

func BenchmarkCRLMillion(b *testing.B) {
	der, err := millionCRL()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("load", func(b *testing.B) {
		b.SetBytes(int64(len(der)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := parseCRL("big", der); err != nil {
				b.Fatal(err)
			}
		}
	})
	list, err := parseCRL("big", der)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("lookup", func(b *testing.B) {
		probes := make([]serialNumber, 1<<16) // in a row, so that only the set's own memory is far away
		for i := range probes {
			probes[i] = list.serials.rows[(i*7919)%list.serials.len()]
			probes[i][serialLen-1] ^= byte(i) & 1
		}
		i := 0
		for b.Loop() {
			list.serials.contains(probes[i%len(probes)])
			i++
		}
	})
}

// TestFigures asserts ten times the figures, and allocations.
func TestFigures(t *testing.T) {
	if race.Enabled {
		t.Skip("figures mean nothing under the race detector")
	}
	s, p := benchLogin(t)
	verifyN(t, s, p, false)
	assertTime(t, "remembered chain", 10*rememberedFigure, 1000, func() { verifyN(t, s, p, false) })
	assertTime(t, "cold chain", 10*coldFigure, 100, func() { verifyN(t, s, p, true) })
	verifyN(t, s, p, false)
	now, ctx := time.Now(), t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Verify(ctx, p, nil, now); err != nil {
			t.Fatal(err)
		}
	}); n > 8 {
		t.Errorf("%.0f allocations for a remembered chain, want at most 8", n)
	}
}

// TestA63MillionEntries: load time and memory; a login meanwhile is not stalled (T53). Load time is the
// processor's. A login is stalled that waits for a good part of the load, each time: one that the machine
// held up was not.
func TestA63MillionEntries(t *testing.T) {
	if race.Enabled || testing.Short() {
		t.Skip("figures mean nothing under the race detector")
	}
	der, err := millionCRL()
	if err != nil {
		t.Fatal(err)
	}
	s, p := benchLogin(t)
	verifyN(t, s, p, false)
	before := heapInUse()
	var list *crl
	for try := 1; ; try++ {
		load := loadBesideLogins(t, der, func() { verifyN(t, s, p, false) })
		list = load.list
		t.Logf("%d entries, %d MB of DER: loaded in %s, of which the processor's %s; %d logins meanwhile, the slowest %s",
			list.serials.len(), len(der)>>20, load.took, load.computed, load.logins, load.slowest)
		if load.computed > 10*crlLoadFigure {
			t.Errorf("load took %s of a processor", load.computed)
		}
		if load.logins >= 100 && load.slowest < load.took/2 {
			break
		}
		if try == 5 {
			t.Fatal("logins were stalled in each of five loads")
		}
	}
	if held := int64(heapInUse()) - int64(before); held > crlHeldFigure {
		t.Errorf("%d bytes held", held)
	}
	i := 0
	assertTime(t, "lookup", 10*lookupFigure, 100_000, func() {
		n := list.serials.rows[(i*7919)%list.serials.len()]
		if i++; !list.serials.contains(n) {
			t.Fatal("lost a serial")
		}
	})
	runtime.KeepAlive(list)
}

// besideLogins is what came of a load while others logged in.
type besideLogins struct {
	list           *crl
	took, computed time.Duration
	logins         int
	slowest        time.Duration
}

// loadBesideLogins parses a CRL and logs in again and again until that is done.
func loadBesideLogins(t *testing.T, der []byte, login func()) (b besideLogins) {
	t.Helper()
	done := make(chan struct{})
	var err error
	start := time.Now()
	go func() { // ends with the load
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		began := threadTime(t)
		b.list, err = parseCRL("big", der)
		b.computed = threadTime(t) - began
	}()
	for loading := true; loading; {
		begin := time.Now()
		login()
		b.logins, b.slowest = b.logins+1, max(b.slowest, time.Since(begin))
		select {
		case <-done:
			loading = false
		default:
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	b.took = time.Since(start)
	return b
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// assertTime fails when the mean of n runs is above limit, in processor time of this thread.
func assertTime(t *testing.T, what string, limit time.Duration, n int, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := threadTime(t)
	for range n {
		f()
	}
	if mean := (threadTime(t) - start) / time.Duration(n); mean > limit {
		t.Errorf("%s: %s, want at most %s", what, mean, limit)
	} else {
		t.Logf("%s: %s", what, mean)
	}
}
