package trust

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestRecheckAnchors: taking a CA out ends its sessions and nobody else's; adding one ends none.
func TestRecheckAnchors(t *testing.T) {
	f := newFixture(t)
	other := f.Root(pki.Shape{CN: "Other"})
	both := []string{f.cfg.ClientCA[0], f.WriteCA(other, "other")}
	alice, olga := peer(t, f.Client("alice")), peer(t, f.Issue(other, pki.Shape{CN: "olga"}))
	f.cfg.ClientCA = both
	s := f.load(nil)
	a, o := yes.check(t, s, alice, time.Now()), yes.check(t, s, olga, time.Now())

	f.cfg.ClientCA = both[:1]
	less := f.load(s)
	next, err := less.Recheck(a, time.Now())
	yes.compare(t, next, err)
	_, err = less.Recheck(o, time.Now())
	want{"unknown_ca", ""}.compare(t, nil, err)
	no(UnknownCA).check(t, less, olga, time.Now())

	f.cfg.ClientCA = append(slices.Clone(both), f.WriteCA(f.Root(pki.Shape{CN: "Third"}), "third"))
	more := f.load(less)
	for _, v := range []*Verified{a, o, next} {
		if _, err := more.Recheck(v, time.Now()); err != nil {
			t.Errorf("Recheck after a CA was added: %v", err)
		}
	}
}

// TestRecheckCrossSigned: when one of two anchors goes, the session stays with the other, and its
// anchors and end say so; an anchor that is added later is seen, too.
func TestRecheckCrossSigned(t *testing.T) {
	f := newFixture(t)
	now := time.Now()
	other := f.Root(pki.Shape{CN: "Other"})
	sub := f.Intermediate(f.Clients, pki.Shape{CN: "Sub", NotAfter: now.Add(time.Hour)})
	cross := f.Issue(other, pki.Shape{CN: "Sub", IsCA: true, Key: sub.Key, NotAfter: now.Add(2 * time.Hour)})
	p := append(peer(t, f.Issue(sub, pki.Shape{CN: "alice"})), cross.X509)
	one := f.cfg.ClientCA
	f.cfg.ClientCA = append(slices.Clone(one), f.WriteCA(other, "other"))
	s := f.load(nil)
	v := yes.check(t, s, p, now)
	if len(v.Anchors) != 2 {
		t.Fatalf("anchors %v, want two", v.Anchors)
	}
	f.cfg.ClientCA = one
	less := f.load(s)
	next, err := less.Recheck(v, now)
	yes.compare(t, next, err)
	if len(next.Anchors) != 1 || next.Anchors[0] != f.Clients.SHA256() || !next.NotAfter.Equal(sub.X509.NotAfter) {
		t.Errorf("anchors %v until %s", next.Anchors, next.NotAfter)
	}
	f.cfg.ClientCA = append(slices.Clone(one), f.WriteCA(other, "other"))
	only := yes.check(t, f.loadFresh(less, one), p, now) // verified under one anchor alone
	if back, err := f.load(less).Recheck(only, now); err != nil || len(back.Anchors) != 2 {
		t.Errorf("after the anchor came: %v, %+v", err, back)
	}
}

// loadFresh loads with other CAs and without anything remembered.
func (f *fixture) loadFresh(_ *Snapshot, cas []string) *Snapshot {
	g := *f
	g.cfg.ClientCA = cas
	return g.load(nil)
}

// TestRecheckExpired: a date that passed ends nothing here; on_expiry decides (T67).
func TestRecheckExpired(t *testing.T) {
	f := newFixture(t)
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	s := f.load(nil)
	v := yes.check(t, s, peer(t, f.client(pki.Shape{NotAfter: end})), time.Now())
	next, err := s.Recheck(v, end.Add(time.Hour))
	if err != nil || !next.NotAfter.Equal(end) {
		t.Errorf("%v, until %v, want %s", err, next, end)
	}
	t.Run("but a CA that is gone does", func(t *testing.T) {
		f.cfg.ClientCA = []string{f.WriteCA(f.Root(pki.Shape{CN: "X"}), "x")}
		_, err := f.load(s).Recheck(v, end.Add(time.Hour))
		no(UnknownCA).compare(t, nil, err)
	})
	t.Run("and one that is replaced does not", func(t *testing.T) {
		twin := f.Root(pki.Shape{CN: "Test Clients CA", Key: f.Clients.Key})
		f.cfg.ClientCA = []string{f.WriteCA(twin, "twin")}
		next, err := f.load(s).Recheck(v, end.Add(time.Hour))
		if err != nil || next.Anchors[0] != twin.SHA256() {
			t.Errorf("%v, %+v", err, next)
		}
	})
}

// TestRecheckSPIFFE: a domain's bundle changes under a live session.
func TestRecheckSPIFFE(t *testing.T) {
	f, a, b := spiffeFixture(t)
	s := f.load(nil)
	v := yes.check(t, s, peer(t, f.Issue(a, pki.Shape{SPIFFE: "spiffe://a.example/x"})), time.Now())
	f.cfg.SPIFFE["b.example"] = []string{f.WriteCA(a, "a2"), f.WriteCA(b, "b2")}
	if _, err := f.load(s).Recheck(v, time.Now()); err != nil {
		t.Errorf("another domain's bundle ended the session: %v", err)
	}
	f.cfg.SPIFFE["a.example"] = []string{f.WriteCA(b, "b3")}
	_, err := f.load(s).Recheck(v, time.Now())
	no(UnknownCA).compare(t, nil, err)
	delete(f.cfg.SPIFFE, "a.example")
	_, err = f.load(s).Recheck(v, time.Now())
	no(UnknownCA).compare(t, nil, err)
}

// TestCacheBounds: the LRU keeps to its bounds and forgets the oldest.
func TestCacheBounds(t *testing.T) {
	c := newChainCache()
	key := func(i int) (k fingerprint) {
		k[0], k[1], k[2] = byte(i>>16), byte(i>>8), byte(i)
		return k
	}
	for i := range maxEntries + 100 {
		c.put(&entry{key: key(i), bytes: 100})
		c.get(key(0))
	}
	if len(c.byKey) != maxEntries || c.order.Len() != maxEntries || c.bytes != 100*maxEntries {
		t.Errorf("%d entries, %d in order, %d bytes", len(c.byKey), c.order.Len(), c.bytes)
	}
	if c.get(key(0)) == nil || c.get(key(1)) != nil || c.get(key(maxEntries)) == nil {
		t.Error("the wrong ones were forgotten")
	}
	c.put(&entry{key: key(0), bytes: 50})
	if c.bytes != 100*maxEntries-50 {
		t.Errorf("%d bytes after a replacement", c.bytes)
	}
	c.put(&entry{key: key(1), bytes: maxEntryBytes})
	if len(c.byKey) != 1 || c.get(key(1)) == nil {
		t.Errorf("%d entries beside one of the whole size", len(c.byKey))
	}
}

// TestPanicRefuses: a panic, also of a parser, is a refusal (T32).
func TestPanicRefuses(t *testing.T) {
	f := newFixture(t)
	s := f.load(nil)
	p := peer(t, f.Client("alice"))
	broken := *p[0]
	broken.SerialNumber = nil // no parser leaves it so
	v, err := s.Verify(t.Context(), []*x509.Certificate{&broken}, nil, time.Now())
	if v != nil {
		t.Fatal("admitted")
	}
	no(internalReason).compareOnly(t, err)
	_, err = s.Verify(t.Context(), []*x509.Certificate{nil}, nil, time.Now())
	no(internalReason).compareOnly(t, err)
	yes.check(t, s, p, time.Now())
}

// compareOnly compares the reason alone.
func (w want) compareOnly(t *testing.T, err error) {
	t.Helper()
	if r, ok := err.(*Refusal); !ok || r.Reason() != w.outcome || r.Public() == "" {
		t.Errorf("got %v, want %s", err, w.outcome)
	}
}

// TestVerifyOnly needs no key of the server.
func TestVerifyOnly(t *testing.T) {
	f := newFixture(t)
	f.cfg.CertFile, f.cfg.KeyFile, f.cfg.VerifyOnly = "", "", true
	s := f.load(nil)
	yes.check(t, s, peer(t, f.Client("alice")), time.Now())
	if s.ServerTLS() != nil || len(s.Certificates()) != 1 {
		t.Errorf("serves %v with %d certificates", s.ServerTLS(), len(s.Certificates()))
	}
	v, err := s.Explain(peer(t, f.Client("bob")), nil, time.Now())
	yes.compare(t, v, err)
}

// Connections with the same certificate share what was parsed of it and the identity in it; an identity
// read with other extensions, or under other anchors, is another.
func TestLoginsShareACertificate(t *testing.T) {
	f := newFixture(t)
	s := f.load(nil)
	leaf := f.Client("alice")
	login := func() (*Verified, []*x509.Certificate) {
		presented := peer(t, leaf)
		v, err := s.Verify(t.Context(), presented, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		v.Share(presented)
		return v, presented
	}
	first, p1 := login()
	second, p2 := login()
	if p1[0] != p2[0] || p1[0] != first.Leaf {
		t.Error("two logins keep a parsed certificate each")
	}
	a, err := first.Identity(nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := second.Identity(nil)
	if err != nil || a != b || a.CN != "alice" || len(a.Anchors) != 1 {
		t.Errorf("identities %+v and %+v, %v", a, b, err)
	}
	if c, err := second.Identity([]string{"1.2.3"}); err != nil || c == a {
		t.Errorf("an identity with mapped extensions is that without: %v", err)
	}
}
