package trust

import (
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// crlFixture is a listener with a CRL of its client CA.
type crlFixture struct {
	*fixture
	alice, bob *pki.Leaf
}

func newCRLFixture(t testing.TB) *crlFixture {
	f := &crlFixture{fixture: newFixture(t)}
	f.alice, f.bob = f.Client("alice"), f.Client("bob")
	f.cfg.CRLPolicy = crlStrict
	return f
}

// crl stores a CRL of ca and returns its path.
func (f *crlFixture) crl(ca *pki.CA, name string, s pki.CRLShape) string {
	f.t.Helper()
	der, err := ca.CRL(s)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.write(name, der)
}

func revoke(leaves ...*pki.Leaf) pki.CRLShape {
	var s pki.CRLShape
	for _, l := range leaves {
		s.Revoked = append(s.Revoked, pki.Revoke(l))
	}
	return s
}

// TestA56RevokedLeaf: in DER and PEM, and nobody else.
func TestA56RevokedLeaf(t *testing.T) {
	f := newCRLFixture(t)
	der := f.crl(f.Clients, "der.crl", revoke(f.bob))
	pemData, err := f.Clients.CRLPEM(revoke(f.bob))
	if err != nil {
		t.Fatal(err)
	}
	other, err := f.Root(pki.Shape{CN: "Other"}).CRLPEM(pki.CRLShape{})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{der, f.write("pem.crl", append(other, pemData...))} {
		f.cfg.CRL = []string{path}
		s := f.load(nil)
		v := yes.check(t, s, peer(t, f.alice), time.Now())
		if v.Revocation != "crl" {
			t.Errorf("revocation %q, want crl", v.Revocation)
		}
		want{"revoked_crl", `revoked by CRL number 1 of "CN=Test Clients CA"`}.check(t, s, peer(t, f.bob), time.Now())
	}
	f.cfg.CRL = nil
	if v := yes.check(t, f.load(nil), peer(t, f.bob), time.Now()); v.Revocation != "none" {
		t.Errorf("revocation %q without CRLs, want none", v.Revocation)
	}
}

// TestA57RevokedIntermediate: all its children are out, those of the root are not; live sessions too.
func TestA57RevokedIntermediate(t *testing.T) {
	f := newCRLFixture(t)
	sub := f.Intermediate(f.Clients, pki.Shape{CN: "Sub"})
	carol := f.Issue(sub, pki.Shape{CN: "carol"})
	f.cfg.CRL = []string{f.crl(f.Clients, "root.crl", pki.CRLShape{}), f.crl(sub, "sub.crl", pki.CRLShape{})}
	s := f.load(nil)
	live := yes.check(t, s, peer(t, carol), time.Now())
	other := yes.check(t, s, peer(t, f.alice), time.Now())

	f.crl(f.Clients, "root.crl", pki.CRLShape{Number: big.NewInt(2), Revoked: []pki.Revoked{pki.Revoke(&sub.Leaf)}})
	next := f.load(s)
	want{"revoked_crl", `Certificate "CN=Sub"`}.check(t, next, peer(t, carol), time.Now())
	yes.check(t, next, peer(t, f.alice), time.Now())
	_, err := next.Recheck(live, time.Now())
	no(RevokedCRL).compare(t, nil, err)
	if _, err := next.Recheck(other, time.Now()); err != nil {
		t.Errorf("Recheck ended a session of the root: %v", err)
	}
}

// TestA58StaleCRL: by crl_policy, never "expired" (T57).
func TestA58StaleCRL(t *testing.T) {
	f := newCRLFixture(t)
	now := time.Now().Truncate(time.Second)
	end := now.Add(-time.Hour)
	old := revoke(f.bob)
	old.ThisUpdate, old.NextUpdate = now.Add(-2*time.Hour), end
	path := f.crl(f.Clients, "a.crl", old)
	f.cfg.CRL = []string{path}
	for _, tt := range []struct {
		policy string
		grace  time.Duration
		want   want
	}{
		{"strict", time.Hour, want{"crl_stale", `CRL of "CN=Test Clients CA" stale since ` + stamp(end)}},
		{"", time.Hour, no(CRLStale)},
		{"grace", time.Hour, yes},
		{"grace", time.Hour - time.Second, no(CRLStale)},
		{"warn", 0, yes},
	} {
		f.cfg.CRLPolicy, f.cfg.CRLGrace = tt.policy, tt.grace
		s := f.load(nil)
		tt.want.check(t, s, peer(t, f.alice), now)
		no(RevokedCRL).check(t, s, peer(t, f.bob), now) // a stale list still revokes (T63)
		if !slices.Contains(kinds(s), "crl_stale") {
			t.Errorf("%s: notices %v, want crl_stale", tt.policy, kinds(s))
		}
	}
	t.Run("without nextUpdate a day counts", func(t *testing.T) {
		f.cfg.CRLPolicy = crlStrict
		f.crl(f.Clients, "a.crl", pki.CRLShape{ThisUpdate: now.Add(-24 * time.Hour), NoNextUpdate: true})
		s := f.load(nil)
		yes.check(t, s, peer(t, f.alice), now)
		no(CRLStale).check(t, s, peer(t, f.alice), now.Add(time.Second))
	})
	t.Run("from the future", func(t *testing.T) {
		f.crl(f.Clients, "a.crl", pki.CRLShape{ThisUpdate: now.Add(time.Minute)})
		no(CRLStale).check(t, f.load(nil), peer(t, f.alice), now)
	})
	t.Run("from the future, over one in force", func(t *testing.T) {
		f.crl(f.Clients, "a.crl", pki.CRLShape{})
		s := f.load(nil)
		list := revoke(f.alice)
		list.Number, list.ThisUpdate = big.NewInt(2), now.Add(time.Minute)
		f.crl(f.Clients, "a.crl", list)
		for range 2 {
			s = f.load(s)
			yes.check(t, s, peer(t, f.alice), now)
		}
		if !slices.Contains(kinds(s), "crl_future") {
			t.Errorf("notices %v, want crl_future", kinds(s))
		}
		no(RevokedCRL).check(t, s, peer(t, f.alice), now.Add(time.Minute))
	})
	t.Run("a stale list ends no live session", func(t *testing.T) {
		f.crl(f.Clients, "a.crl", pki.CRLShape{})
		s := f.load(nil)
		v := yes.check(t, s, peer(t, f.alice), now)
		if _, err := s.Recheck(v, now.Add(48*time.Hour-time.Hour)); err != nil {
			t.Errorf("Recheck: %v", err)
		}
	})
}

// TestA59WrongSigner: a list by another key, another CA of the name, or one that may not sign lists.
func TestA59WrongSigner(t *testing.T) {
	f := newCRLFixture(t)
	stranger := f.Root(pki.Shape{CN: "Test Clients CA"})
	for name, path := range map[string]string{
		"other key":         f.crl(f.Clients, "a.crl", pki.CRLShape{SignedBy: stranger.Key}),
		"other CA":          f.crl(stranger, "b.crl", pki.CRLShape{}),
		"other CA, no AKI":  f.crl(stranger, "c.crl", pki.CRLShape{Omit: []pki.OID{pki.OIDAuthorityKeyID}}),
		"other AKI":         f.crl(f.Clients, "d.crl", pki.CRLShape{Omit: []pki.OID{pki.OIDAuthorityKeyID}, Ext: []pki.Extension{pki.AuthorityKeyID([]byte{1, 2})}}),
		"other issuer name": f.crl(f.Clients, "e.crl", pki.CRLShape{Issuer: pki.Name{pki.CN("test clients CA")}}),
		"SHA-1":             f.crl(f.Clients, "f.crl", pki.CRLShape{SigAlg: pki.ECDSAWithSHA1}),
		"critical number": f.crl(f.Clients, "g.crl", pki.CRLShape{Omit: []pki.OID{pki.OIDCRLNumber},
			Ext: []pki.Extension{critical(pki.CRLNumber(big.NewInt(3)))}}),
		"unknown critical extension": f.crl(f.Clients, "h.crl", pki.CRLShape{Ext: []pki.Extension{critical(pki.StringExtension(oidTeam, 0, "x"))}}),
		"unknown critical extension of an entry": f.crl(f.Clients, "i.crl", pki.CRLShape{Revoked: []pki.Revoked{
			{Serial: big.NewInt(5), Ext: []pki.Extension{critical(pki.StringExtension(oidTeam, 0, "x"))}}}}),
		"entries of another issuer": f.crl(f.Clients, "j.crl", pki.CRLShape{Revoked: []pki.Revoked{
			{Serial: big.NewInt(5), Ext: []pki.Extension{{ID: pki.OID{2, 5, 29, 29}, Value: []byte("\x30\x03\x82\x01a")}}}}}),
		"AKI with another serial": f.crl(f.Clients, "k.crl", pki.CRLShape{Omit: []pki.OID{pki.OIDAuthorityKeyID},
			Ext: []pki.Extension{{ID: pki.OIDAuthorityKeyID, Value: []byte("\x30\x04\x82\x02\x01\x02")}}}),
	} {
		t.Run(name, func(t *testing.T) {
			f.cfg.CRL = []string{path}
			s := f.load(nil)
			no(CRLStale).check(t, s, peer(t, f.alice), time.Now())
			if !slices.Contains(kinds(s), "crl_missing") {
				t.Errorf("notices %v, want crl_missing", kinds(s))
			}
			g := *f.fixture
			g.cfg.CRL = append(slices.Clone(f.cfg.CRL), f.crl(f.Clients, "good.crl", revoke(f.bob)))
			s = g.load(nil)
			yes.check(t, s, peer(t, f.alice), time.Now())
			no(RevokedCRL).check(t, s, peer(t, f.bob), time.Now())
		})
	}
	t.Run("no cRLSign", func(t *testing.T) {
		ca := f.Root(pki.Shape{CN: "Mute", KeyUsage: []pki.KeyUsageBit{pki.KeyCertSign}})
		g := *f.fixture
		g.cfg.ClientCA, g.cfg.CRL = []string{f.WriteCA(ca, "mute")}, []string{f.crl(ca, "mute.crl", pki.CRLShape{})}
		no(CRLStale).check(t, g.load(nil), peer(t, f.Issue(ca, pki.Shape{CN: "alice"})), time.Now())
	})
}

// TestA60Rollback: a list with a lower number is refused on load, the newer stays (T56).
func TestA60Rollback(t *testing.T) {
	f := newCRLFixture(t)
	five := revoke(f.bob)
	five.Number = big.NewInt(5)
	path := f.crl(f.Clients, "a.crl", five)
	f.cfg.CRL = []string{path}
	s := f.load(nil)
	f.crl(f.Clients, "a.crl", pki.CRLShape{Number: big.NewInt(4)})
	for range 3 { // it stays however often the old one is read
		s = f.load(s)
		no(RevokedCRL).check(t, s, peer(t, f.bob), time.Now())
		if !slices.Contains(kinds(s), "crl_rollback") {
			t.Errorf("notices %v, want crl_rollback", kinds(s))
		}
	}
	f.crl(f.Clients, "a.crl", pki.CRLShape{Number: big.NewInt(6)})
	s = f.load(s)
	yes.check(t, s, peer(t, f.bob), time.Now())

	t.Run("without numbers the date decides", func(t *testing.T) {
		now := time.Now()
		number := []pki.OID{pki.OIDCRLNumber}
		list := revoke(f.bob)
		list.Omit, list.ThisUpdate = number, now.Add(-time.Hour)
		f.crl(f.Clients, "a.crl", list)
		s := f.load(nil)
		if !slices.Contains(kinds(s), "crl_no_number") {
			t.Errorf("notices %v, want crl_no_number", kinds(s))
		}
		f.crl(f.Clients, "a.crl", pki.CRLShape{Omit: number, ThisUpdate: now.Add(-2 * time.Hour)})
		no(RevokedCRL).check(t, f.load(s), peer(t, f.bob), now)
		f.crl(f.Clients, "a.crl", pki.CRLShape{Omit: number, ThisUpdate: now.Add(-time.Minute)})
		yes.check(t, f.load(s), peer(t, f.bob), now)
	})
	t.Run("a forged higher number displaces nothing", func(t *testing.T) {
		good := f.crl(f.Clients, "a.crl", revoke(f.bob))
		forged := f.crl(f.Clients, "forged.crl", pki.CRLShape{Number: big.NewInt(1000), SignedBy: f.Servers.Key})
		g := *f.fixture
		g.cfg.CRL = []string{good, forged}
		no(RevokedCRL).check(t, g.load(nil), peer(t, f.bob), time.Now())
	})
}

// TestA61DeltaCRL: not used; the complete list still counts (T55).
func TestA61DeltaCRL(t *testing.T) {
	f := newCRLFixture(t)
	delta := revoke(f.alice)
	delta.DeltaBase, delta.Number = big.NewInt(1), big.NewInt(2)
	f.cfg.CRL = []string{f.crl(f.Clients, "a.crl", revoke(f.bob)), f.crl(f.Clients, "delta.crl", delta)}
	s := f.load(nil)
	yes.check(t, s, peer(t, f.alice), time.Now())
	no(RevokedCRL).check(t, s, peer(t, f.bob), time.Now())
	if !slices.Contains(kinds(s), "crl_delta") {
		t.Errorf("notices %v, want crl_delta", kinds(s))
	}
}

// TestA62IssuingDistributionPoint: a list counts for what it covers (T55).
func TestA62IssuingDistributionPoint(t *testing.T) {
	f := newCRLFixture(t)
	point := pki.URIName("http://crl.example/1")
	near := f.client(pki.Shape{CN: "near", Ext: []pki.Extension{pki.DistributionPoints("http://crl.example/1")}})
	far := f.client(pki.Shape{CN: "far", Ext: []pki.Extension{pki.DistributionPoints("http://crl.example/2")}})
	for _, tt := range []struct {
		name string
		idp  pki.IDP
		leaf *pki.Leaf
		want want
	}{
		{"onlyCA", pki.IDP{OnlyCA: true}, f.alice, no(CRLStale)},
		{"onlyUser", pki.IDP{OnlyUser: true}, f.alice, yes},
		{"both", pki.IDP{OnlyUser: true, OnlyCA: true}, f.alice, no(CRLStale)},
		{"indirect", pki.IDP{Indirect: true}, f.alice, no(CRLStale)},
		{"onlySomeReasons", pki.IDP{OnlySomeReasons: true}, f.alice, no(CRLStale)},
		{"onlyAttribute", pki.IDP{OnlyAttribute: true}, f.alice, no(CRLStale)},
		{"its distribution point", pki.IDP{Names: []pki.GeneralName{point}}, near, yes},
		{"another distribution point", pki.IDP{Names: []pki.GeneralName{point}}, far, no(CRLStale)},
		{"no distribution point", pki.IDP{Names: []pki.GeneralName{point}}, f.alice, no(CRLStale)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.cfg.CRL = []string{f.crl(f.Clients, "a.crl", pki.CRLShape{IDP: &tt.idp})}
			tt.want.check(t, f.load(nil), peer(t, tt.leaf), time.Now())
		})
	}
	t.Run("onlyUser does not cover an intermediate", func(t *testing.T) {
		sub := f.Intermediate(f.Clients, pki.Shape{CN: "Sub"})
		carol := f.Issue(sub, pki.Shape{CN: "carol"})
		f.cfg.CRL = []string{
			f.crl(f.Clients, "a.crl", pki.CRLShape{IDP: &pki.IDP{OnlyUser: true}}), f.crl(sub, "sub.crl", pki.CRLShape{}),
		}
		want{"crl_stale", `Certificate "CN=Sub"`}.check(t, f.load(nil), peer(t, carol), time.Now())
		f.cfg.CRL = append(f.cfg.CRL, f.crl(f.Clients, "ca.crl", pki.CRLShape{IDP: &pki.IDP{OnlyCA: true}}))
		yes.check(t, f.load(nil), peer(t, carol), time.Now())
	})
	t.Run("a partition that revokes wins over one that does not", func(t *testing.T) {
		list := revoke(near)
		list.IDP, list.Number = &pki.IDP{Names: []pki.GeneralName{point}}, big.NewInt(1)
		f.cfg.CRL = []string{f.crl(f.Clients, "a.crl", pki.CRLShape{Number: big.NewInt(9)}), f.crl(f.Clients, "p.crl", list)}
		no(RevokedCRL).check(t, f.load(nil), peer(t, near), time.Now())
	})
}

// TestCertificateHold: a hold is a revocation (T55).
func TestCertificateHold(t *testing.T) {
	f := newCRLFixture(t)
	entry := pki.Revoke(f.bob)
	entry.Reason = 6
	f.cfg.CRL = []string{f.crl(f.Clients, "a.crl", pki.CRLShape{Revoked: []pki.Revoked{entry}})}
	no(RevokedCRL).check(t, f.load(nil), peer(t, f.bob), time.Now())
}

// TestA64JunkCRLs: skipped with a notice in a directory, a load error in a named file (T53).
func TestA64JunkCRLs(t *testing.T) {
	f := newCRLFixture(t)
	good, err := os.ReadFile(f.crl(f.Clients, "crls/good.crl", revoke(f.bob)))
	if err != nil {
		t.Fatal(err)
	}
	v1 := f.crl(f.Clients, "crls/v1.crl", pki.CRLShape{Version: 1})
	junk := []string{
		v1, f.write("crls/cut.crl", good[:len(good)-3]), f.write("crls/garbage.crl", []byte("garbage")),
		f.write("crls/empty.crl", nil), f.write("crls/longer.crl", append(slices.Clone(good), 0)),
		f.write("crls/cut.pem", []byte("-----BEGIN X509 CRL-----\nAAAA\n")),
		f.write("crls/cert.pem", f.alice.CertPEM()),
	}
	f.write("crls/.hidden", []byte("garbage"))
	f.write("crls/sub/below.crl", []byte("garbage"))
	f.cfg.CRL = []string{filepath.Join(f.Dir, "crls")}
	s := f.load(nil)
	yes.check(t, s, peer(t, f.alice), time.Now())
	no(RevokedCRL).check(t, s, peer(t, f.bob), time.Now())
	skipped := 0
	for _, n := range s.Notices() {
		if n.Kind == "crl_skipped" && slices.Contains(junk, n.File) {
			skipped++
		}
	}
	if skipped != len(junk) {
		t.Errorf("%d files skipped with a notice, want %d: %+v", skipped, len(junk), s.Notices())
	}
	for _, path := range append(junk, filepath.Join(f.Dir, "missing")) {
		f.cfg.CRL = []string{path}
		if _, err := Load(f.cfg, time.Now(), s); err == nil {
			t.Errorf("%s as a named file was loaded", filepath.Base(path))
		}
	}
	t.Run("half written over a good one", func(t *testing.T) {
		f.cfg.CRL = []string{filepath.Join(f.Dir, "crls")}
		f.write("crls/good.crl", good[:len(good)/2])
		next := f.load(s)
		yes.check(t, next, peer(t, f.alice), time.Now())
		no(RevokedCRL).check(t, next, peer(t, f.bob), time.Now())
	})
}

// TestA65RemovedCRL: as missing, never "not revoked" (T57).
func TestA65RemovedCRL(t *testing.T) {
	f := newCRLFixture(t)
	path := f.crl(f.Clients, "crls/a.crl", revoke(f.bob))
	f.cfg.CRL = []string{filepath.Dir(path)}
	s := f.load(nil)
	live := yes.check(t, s, peer(t, f.alice), time.Now())
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	next := f.load(s)
	for _, leaf := range []*pki.Leaf{f.alice, f.bob} {
		want{"crl_stale", `no current CRL of "CN=Test Clients CA"`}.check(t, next, peer(t, leaf), time.Now())
	}
	if _, err := next.Recheck(live, time.Now()); err != nil {
		t.Errorf("a missing list ended a live session: %v", err)
	}
	f.cfg.CRLPolicy = crlWarn
	yes.check(t, f.load(nil), peer(t, f.alice), time.Now())
	f.cfg.CRLPolicy, f.cfg.CRLGrace = crlGrace, 1000*time.Hour
	no(CRLStale).check(t, f.load(nil), peer(t, f.alice), time.Now())
}
