package trust

import (
	"crypto/x509"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestA27NoCertificate: no certificate at all.
func TestA27NoCertificate(t *testing.T) {
	f := newFixture(t)
	no(NoCert).check(t, f.load(nil), nil, time.Now())
}

// TestA28Expired: not a second of tolerance (T34).
func TestA28Expired(t *testing.T) {
	f := newFixture(t)
	s := f.load(nil)
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	p := peer(t, f.client(pki.Shape{NotAfter: end}))
	yes.check(t, s, p, end)
	yes.check(t, s, p, end.Add(999*time.Millisecond)) // a fraction of a second is not past it
	want{"expired", end.UTC().Format(time.RFC3339)}.check(t, s, p, end.Add(time.Second))
	// The chain is remembered now; the date is looked at all the same.
	want{"expired", "clock reads " + end.Add(time.Second).UTC().Format(time.RFC3339)}.check(t, s, p, end.Add(time.Second))
}

// TestA29NotYetValid: apart from expired, both clocks in the detail (T49).
func TestA29NotYetValid(t *testing.T) {
	f := newFixture(t)
	s := f.load(nil)
	begin := time.Now().Add(time.Hour).Truncate(time.Second)
	p := peer(t, f.client(pki.Shape{NotBefore: begin}))
	w := want{"not_yet_valid", stamp(begin)}
	w.check(t, s, p, begin.Add(-time.Second))
	want{"not_yet_valid", "clock reads " + stamp(begin.Add(-time.Second))}.check(t, s, p, begin.Add(-time.Second))
	yes.check(t, s, p, begin)
}

// TestA31UnknownCA: a stranger.
func TestA31UnknownCA(t *testing.T) {
	f := newFixture(t)
	p := peer(t, f.Issue(f.Root(pki.Shape{CN: "Stranger"}), pki.Shape{CN: "alice"}))
	want{"unknown_ca", `issuer "CN=Stranger" of "CN=alice" not found`}.check(t, f.load(nil), p, time.Now())
}

// TestA32SameNameOtherKey: the CA's name and SKI on another key.
func TestA32SameNameOtherKey(t *testing.T) {
	f := newFixture(t)
	fake := f.Root(pki.Shape{RawSubject: f.Clients.X509.RawSubject, Omit: []pki.OID{pki.OIDSubjectKeyID, pki.OIDAuthorityKeyID},
		Ext: []pki.Extension{pki.SubjectKeyID(f.Clients.X509.SubjectKeyId)}})
	p := peer(t, f.Issue(fake, pki.Shape{CN: "alice"}))
	want{"unknown_ca", "not by the key of its issuer"}.check(t, f.load(nil), p, time.Now())
	want{"unknown_ca", ""}.check(t, f.load(nil), append(p, fake.X509), time.Now())
}

// TestA33ExpiredIntermediate: the reason is the intermediate's date, and it is named.
func TestA33ExpiredIntermediate(t *testing.T) {
	f := newFixture(t)
	now := time.Now()
	sub := f.Intermediate(f.Clients, pki.Shape{CN: "Old Sub", NotAfter: now.Add(-time.Minute)})
	p := peer(t, f.Issue(sub, pki.Shape{CN: "alice"}))
	want{"expired", `"CN=Old Sub"`}.check(t, f.load(nil), p, now)
	yes.check(t, f.load(nil), p, now.Add(-2*time.Minute))
}

// TestA34ExpiredRoot: loaded with a notice, refused at login.
func TestA34ExpiredRoot(t *testing.T) {
	f := newFixture(t)
	now := time.Now()
	old := f.Root(pki.Shape{CN: "Old Root", NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)})
	f.cfg.ClientCA = append(f.cfg.ClientCA, f.WriteCA(old, "old"))
	s := f.load(nil)
	if got := kinds(s); !slices.Contains(got, "anchor_expired") {
		t.Errorf("notices %v, want anchor_expired", got)
	}
	p := peer(t, f.Issue(old, pki.Shape{CN: "alice"}))
	want{"expired", `"CN=Old Root"`}.check(t, s, p, now)
}

// TestA35MissingIntermediate: the issuer that is not there is named.
func TestA35MissingIntermediate(t *testing.T) {
	f := newFixture(t)
	sub := f.Intermediate(f.Clients, pki.Shape{CN: "Sub"})
	p := peer(t, f.Issue(sub, pki.Shape{CN: "alice"}))
	want{"unknown_ca", `issuer "CN=Sub" of "CN=alice" not found`}.check(t, f.load(nil), p[:1], time.Now())
	yes.check(t, f.load(nil), p, time.Now())
}

// TestA36ChainOutOfOrder: order and strangers in between do not matter, up to ten certificates.
func TestA36ChainOutOfOrder(t *testing.T) {
	f := newFixture(t)
	one := f.Intermediate(f.Clients, pki.Shape{CN: "One"})
	two := f.Intermediate(one, pki.Shape{CN: "Two"})
	leaf := f.Issue(two, pki.Shape{CN: "alice"}).X509
	p := []*x509.Certificate{leaf, one.X509}
	for _, cn := range []string{"a", "b", "c", "d", "e", "f"} {
		p = append(p, f.Root(pki.Shape{CN: cn}).X509)
	}
	p = append(p, f.Clients.X509, two.X509)
	v := yes.check(t, f.load(nil), p, time.Now())
	if len(v.Chains) != 1 || len(v.Chains[0]) != 4 || v.Anchors[0] != f.Clients.SHA256() {
		t.Errorf("chains %d of %d, anchors %v", len(v.Chains), len(v.Chains[0]), v.Anchors)
	}
}

// TestA37SelfSigned: a copy of a leaf's name, a leaf among the CAs, an anchor that logs in.
func TestA37SelfSigned(t *testing.T) {
	f := newFixture(t)
	s := f.load(nil)
	good := f.client(pki.Shape{})
	twin, err := pki.SelfSigned(pki.Shape{CN: "alice", Serial: good.X509.SerialNumber,
		Issuer: pki.Name{pki.CN("Test Clients CA")}, Omit: []pki.OID{pki.OIDAuthorityKeyID},
		Ext: []pki.Extension{pki.AuthorityKeyID(f.Clients.X509.SubjectKeyId)}})
	if err != nil {
		t.Fatal(err)
	}
	no(UnknownCA).check(t, s, peer(t, twin), time.Now())
	own, err := pki.SelfSigned(pki.Shape{CN: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	want{"unknown_ca", "issued by itself"}.check(t, s, peer(t, own), time.Now())
	want{"is_ca", "itself a trust anchor"}.check(t, s, []*x509.Certificate{f.Clients.X509}, time.Now())

	f.cfg.ClientCA = append(f.cfg.ClientCA, f.write("leaf.crt", good.CertPEM()))
	if _, err := Load(f.cfg, time.Now(), s); err == nil {
		t.Error("a leaf in client_ca was loaded")
	}
}

// TestA46LeafAsIssuer: an end entity issues nothing.
func TestA46LeafAsIssuer(t *testing.T) {
	f := newFixture(t)
	mid := f.client(pki.Shape{CN: "mallory", KeyUsage: []pki.KeyUsageBit{pki.DigitalSignature}})
	p := peer(t, f.Issue(mid.AsCA(f.Clients), pki.Shape{CN: "alice"}))
	want{"unknown_ca", "is not a CA"}.check(t, f.load(nil), p, time.Now())
}

// TestA47PathLength: one intermediate too many.
func TestA47PathLength(t *testing.T) {
	f := newFixture(t)
	zero := 0
	one := f.Intermediate(f.Clients, pki.Shape{CN: "One", PathLen: &zero})
	yes.check(t, f.load(nil), peer(t, f.Issue(one, pki.Shape{CN: "alice"})), time.Now())
	two := f.Intermediate(one, pki.Shape{CN: "Two"})
	no(PathLength).check(t, f.load(nil), peer(t, f.Issue(two, pki.Shape{CN: "alice"})), time.Now())
}

// TestA20ManyChains: a net of intermediates costs next to nothing (T47).
func TestA20ManyChains(t *testing.T) {
	f := newFixture(t)
	s := f.load(nil)
	name := pki.Name{pki.CN("Net")}
	var net []*pki.CA
	for range 9 {
		net = append(net, f.Root(pki.Shape{Subject: name, Kind: pki.P521}))
	}
	p := []*x509.Certificate{f.Issue(net[0], pki.Shape{CN: "alice"}).X509}
	for i, ca := range net { // each is signed by the next: a ring of one name
		p = append(p, f.Issue(net[(i+1)%len(net)], pki.Shape{Subject: name, IsCA: true, Key: ca.Key}).X509)
	}
	no(CertLimits).check(t, s, p, time.Now())
	no(CertLimits).check(t, s, append(p, p...), time.Now())
}

// TestCrossSigned: all chains are tried; the session holds as long as one of them (T35).
func TestCrossSigned(t *testing.T) {
	f := newFixture(t)
	now := time.Now()
	other := f.Root(pki.Shape{CN: "Other Root"})
	f.cfg.ClientCA = append(f.cfg.ClientCA, f.WriteCA(other, "other"))
	sub := f.Intermediate(f.Clients, pki.Shape{CN: "Sub", NotAfter: now.Add(time.Hour)})
	cross := f.Issue(other, pki.Shape{CN: "Sub", IsCA: true, Key: sub.Key, NotAfter: now.Add(2 * time.Hour)})
	leaf := f.Issue(sub, pki.Shape{CN: "alice", NotAfter: now.Add(3 * time.Hour)})
	p := append(peer(t, leaf), cross.X509)
	s := f.load(nil)
	v := yes.check(t, s, p, now)
	if len(v.Chains) != 2 || len(v.Anchors) != 2 || !v.NotAfter.Equal(cross.X509.NotAfter) {
		t.Errorf("%d chains, anchors %v, until %s, want two until %s", len(v.Chains), v.Anchors, v.NotAfter, cross.X509.NotAfter)
	}
	v = yes.check(t, s, p, now.Add(90*time.Minute))
	if len(v.Chains) != 1 || v.Anchors[0] != other.SHA256() {
		t.Errorf("after one chain expired: %d chains, anchors %v", len(v.Chains), v.Anchors)
	}
	no(Expired).check(t, s, p, now.Add(150*time.Minute))
}

// TestHundredYears: validity has no cap (A55).
func TestHundredYears(t *testing.T) {
	f := newFixture(t)
	ca := f.Root(pki.Shape{CN: "Old", Lifetime: 150 * 365 * 24 * time.Hour})
	f.cfg.ClientCA = []string{f.WriteCA(ca, "ca")}
	p := peer(t, f.Issue(ca, pki.Shape{CN: "alice", Lifetime: 100 * 365 * 24 * time.Hour, Serial: big.NewInt(7)}))
	yes.check(t, f.load(nil), p, time.Now())
}
