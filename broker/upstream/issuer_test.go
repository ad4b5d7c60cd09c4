package upstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// mints records what an issuer announces.
type mints struct {
	mu   sync.Mutex
	list []Mint
	err  error
}

func (m *mints) add(mint Mint) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = append(m.list, mint)
	return m.err
}

func (m *mints) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.list)
}

func newIssuer(t testing.TB, m *mints, change func(*IssuerConfig)) *Issuer {
	t.Helper()
	ca := caPair(t, newRoot(t))
	cfg := IssuerConfig{
		CA: func() *tls.Certificate { return ca }, Lifetime: 30 * time.Minute, MintsPerMinute: 60, OnMint: m.add,
	}
	if change != nil {
		change(&cfg)
	}
	i, err := NewIssuer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// T73: the shape of a minted certificate.
func TestT73Shape(t *testing.T) {
	var m mints
	var ca *tls.Certificate
	i := newIssuer(t, &m, func(cfg *IssuerConfig) { ca = cfg.CA() })
	now := time.Now()
	cert, err := i.TLSCertificate("büro_rw")
	if err != nil {
		t.Fatal(err)
	}
	leaf := cert.Leaf
	if key, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("key %T", leaf.PublicKey)
	}
	// One RDN of one attribute, 2.5.4.3, as UTF8String (tag 0c).
	if !strings.Contains(hex.EncodeToString(leaf.RawSubject), "06035504030c08"+hex.EncodeToString([]byte("büro_rw"))) ||
		len(leaf.Subject.Names) != 1 {
		t.Errorf("subject %x", leaf.RawSubject)
	}
	if leaf.KeyUsage != x509.KeyUsageDigitalSignature || len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || leaf.IsCA {
		t.Errorf("usage %v %v, CA %v", leaf.KeyUsage, leaf.ExtKeyUsage, leaf.IsCA)
	}
	if n := leaf.SerialNumber.BitLen(); n > 127 || n < 90 || leaf.SerialNumber.Sign() <= 0 {
		t.Errorf("serial %x", leaf.SerialNumber)
	}
	if early := now.Sub(leaf.NotBefore); early < clockSkew-time.Second || early > clockSkew+10*time.Second {
		t.Errorf("notBefore %v before now", early)
	}
	if life := leaf.NotAfter.Sub(now); life < 29*time.Minute || life > 30*time.Minute+10*time.Second {
		t.Errorf("lifetime %v", life)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	want := Mint{Role: "büro_rw", Serial: leaf.SerialNumber.Text(16), SHA256: m.list[0].SHA256, NotAfter: leaf.NotAfter}
	if len(m.list) != 1 || m.list[0] != want || len(want.SHA256) != 64 {
		t.Errorf("announced %+v, want %+v", m.list, want)
	}
}

// T74: the first login costs one mint, the next thousand none; at two thirds of its life it is renewed.
func TestT74CacheAndRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m mints
		i := newIssuer(t, &m, nil)
		first, err := i.TLSCertificate("app")
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			if cert, err := i.TLSCertificate("app"); err != nil || cert != first {
				t.Fatalf("got another certificate, %v", err)
			}
		}
		if m.count() != 1 {
			t.Fatalf("%d mints, want 1", m.count())
		}
		time.Sleep(16 * time.Minute)
		if cert, _ := i.TLSCertificate("app"); cert != first {
			t.Error("renewed long before two thirds of its life")
		}
		time.Sleep(4*time.Minute + time.Second)
		if cert, err := i.TLSCertificate("app"); err != nil || cert == first || m.count() != 2 {
			t.Errorf("not renewed at two thirds of its life: %v", err)
		}
	})
}

// A122: ten thousand roles meet the cap; those that have a certificate keep it and get it renewed.
func TestA122MintsAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m mints
		i := newIssuer(t, &m, func(cfg *IssuerConfig) { cfg.MintsPerMinute = 10 })
		if _, err := i.TLSCertificate("good"); err != nil {
			t.Fatal(err)
		}
		refused := 0
		for n := range 10_000 {
			_, err := i.TLSCertificate(fmt.Sprint("role", n))
			if err == nil {
				continue
			}
			if e, ok := errors.AsType[*LoginError](err); !ok || e.SQLState() != "53300" || e.Reason() != ReasonCredential {
				t.Fatalf("got %v", err)
			}
			refused++
		}
		if refused != 9991 || len(i.minted) > 10 {
			t.Errorf("%d refused, %d remembered; want 9991, 10", refused, len(i.minted))
		}
		time.Sleep(21 * time.Minute) // good's is old, and the bucket is empty again
		for n := range 10 {
			if _, err := i.TLSCertificate(fmt.Sprint("late", n)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := i.TLSCertificate("late10"); err == nil {
			t.Error("the cap did not hold")
		}
		before := m.count()
		if _, err := i.TLSCertificate("good"); err != nil || m.count() != before+1 {
			t.Errorf("a renewal met the cap: %v", err)
		}
		time.Sleep(time.Hour)
		if _, err := i.TLSCertificate("good"); err != nil {
			t.Fatal(err)
		}
		if n := len(i.minted); n != 1 {
			t.Errorf("%d roles remembered after their certificates ended", n)
		}
	})
}

// One mint in flight: who has a valid certificate takes it, who has none waits.
func TestT74OneMintInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m mints
		var slow atomic.Bool
		i := newIssuer(t, &m, func(cfg *IssuerConfig) {
			cfg.OnMint = func(mint Mint) error {
				if slow.Load() {
					time.Sleep(time.Second)
				}
				return m.add(mint)
			}
		})
		slow.Store(true)
		got := make(chan *tls.Certificate, 10)
		ask := func() {
			cert, err := i.TLSCertificate("app")
			if err != nil {
				t.Error(err)
			}
			got <- cert
		}
		for range 5 {
			go ask()
		}
		first := <-got
		for range 4 {
			if <-got != first {
				t.Error("a second certificate was minted at the same time")
			}
		}
		time.Sleep(21 * time.Minute)
		go ask()
		synctest.Wait()
		start := time.Now()
		ask()
		if time.Since(start) != 0 || <-got != first {
			t.Error("a renewal holds up those with a valid certificate")
		}
		if <-got == first || m.count() != 2 {
			t.Errorf("%d mints, want 2", m.count())
		}
	})
}

// T74: a mint that could not be recorded is not used; while an old one is valid, that is.
func TestMintNotRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mints{err: errors.New("audit: disk full")}
		i := newIssuer(t, &m, nil)
		if _, err := i.TLSCertificate("app"); !errors.Is(err, m.err) || len(i.minted) != 0 {
			t.Errorf("got %v, want %v", err, m.err)
		}
		m.err = nil
		first, err := i.TLSCertificate("app")
		if err != nil {
			t.Fatal(err)
		}
		m.err = errors.New("audit: disk full")
		time.Sleep(25 * time.Minute)
		if cert, err := i.TLSCertificate("app"); err != nil || cert != first {
			t.Errorf("got %v, want the old certificate while it is valid", err)
		}
		time.Sleep(6 * time.Minute)
		if _, err := i.TLSCertificate("app"); err == nil {
			t.Error("got a certificate that is over")
		}
	})
}

// T77: another issuing CA is used at once.
func TestIssuerRotates(t *testing.T) {
	var m mints
	var ca atomic.Pointer[tls.Certificate]
	ca.Store(caPair(t, newRoot(t)))
	i := newIssuer(t, &m, func(cfg *IssuerConfig) { cfg.CA = ca.Load })
	first, err := i.TLSCertificate("app")
	if err != nil {
		t.Fatal(err)
	}
	next := caPair(t, newRoot(t))
	ca.Store(next)
	second, err := i.TLSCertificate("app")
	if err != nil || second == first || second.Leaf.CheckSignatureFrom(next.Leaf) != nil {
		t.Errorf("got a certificate of the old CA: %v", err)
	}
	ca.Store(nil)
	if _, err := i.TLSCertificate("app"); err == nil {
		t.Error("got a certificate without a CA")
	}
}

// No certificate outlives its CA.
func TestIssuerNearItsEnd(t *testing.T) {
	var m mints
	end := time.Now().Add(10 * time.Minute)
	root, err := pki.NewRoot(pki.Shape{CN: "old", NotAfter: end})
	if err != nil {
		t.Fatal(err)
	}
	ca := caPair(t, root)
	i := newIssuer(t, &m, func(cfg *IssuerConfig) { cfg.CA = func() *tls.Certificate { return ca } })
	cert, err := i.TLSCertificate("app")
	if err != nil || cert.Leaf.NotAfter.After(end) {
		t.Errorf("notAfter %v, CA's %v, %v", cert.Leaf.NotAfter, end, err)
	}
	for _, role := range []string{"", "\xff"} {
		if _, err := i.TLSCertificate(role); err == nil {
			t.Errorf("minted for role %q", role)
		}
	}
}

// A mint takes 1 ms at most; a test allows ten times that, of the fastest tenth.
func TestMintIsQuick(t *testing.T) {
	var m mints
	i := newIssuer(t, &m, func(cfg *IssuerConfig) { cfg.MintsPerMinute = 1000 })
	var took []time.Duration
	for n := range 51 {
		began := time.Now()
		if _, err := i.TLSCertificate(fmt.Sprint("role", n)); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	if fast := took[len(took)/10]; fast > 10*time.Millisecond { // the others, when the machine is busy
		t.Errorf("a mint takes %v, want 1 ms", fast)
	}
}

func BenchmarkMint(b *testing.B) {
	var m mints
	i := newIssuer(b, &m, func(cfg *IssuerConfig) { cfg.MintsPerMinute = 1 << 30 })
	n := 0
	for b.Loop() {
		n++
		if _, err := i.TLSCertificate(fmt.Sprint("role", n)); err != nil {
			b.Fatal(err)
		}
	}
}

// TestIssuerMintPanics: a mint that panics is refused, and keeps nobody waiting for it.
func TestIssuerMintPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mints{}
		broken := true
		i := newIssuer(t, m, func(cfg *IssuerConfig) {
			cfg.OnMint = func(mint Mint) error {
				if broken {
					panic("seeded")
				}
				return m.add(mint)
			}
		})
		if _, err := i.TLSCertificate("app"); err == nil {
			t.Error("a certificate that nobody was told of")
		}
		broken = false
		if _, err := i.TLSCertificate("app"); err != nil {
			t.Error(err)
		}
	})
}

// TestIssuerRenewalPauses: while a renewal fails the old certificate serves, and not every login tries again: each
// may have to wait for a disk that is stuck (T74).
func TestIssuerRenewalPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mints{}
		i := newIssuer(t, m, nil)
		first, err := i.TLSCertificate("app")
		if err != nil {
			t.Fatal(err)
		}
		m.err = errors.New("the disk is full")
		time.Sleep(21 * time.Minute) // of 30: due
		for range 100 {
			if cert, err := i.TLSCertificate("app"); err != nil || cert != first {
				t.Fatalf("got %v, %v", cert, err)
			}
		}
		if n := m.count(); n != 2 {
			t.Errorf("%d mints, want the first and one that failed", n)
		}
		m.err = nil
		time.Sleep(renewPause)
		if cert, err := i.TLSCertificate("app"); err != nil || cert == first {
			t.Errorf("not renewed: %v", err)
		}
	})
}
