package trust

import (
	"slices"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestT91IdentityFollowsAnchors: the anchors that rules read are those of the chains accepted now, also
// when the chains are remembered from a time when there were more.
func TestT91IdentityFollowsAnchors(t *testing.T) {
	f := newFixture(t)
	other := f.Root(pki.Shape{CN: "Other Root"})
	all := append(slices.Clone(f.cfg.ClientCA), f.WriteCA(other, "other"))
	f.cfg.ClientCA = all
	sub := f.Intermediate(f.Clients, pki.Shape{CN: "Sub"})
	cross := f.Issue(other, pki.Shape{CN: "Sub", IsCA: true, Key: sub.Key})
	p := append(peer(t, f.Issue(sub, pki.Shape{CN: "alice"})), cross.X509)

	anchors := func(s *Snapshot) []string {
		t.Helper()
		id, err := yes.check(t, s, p, time.Now()).Identity(nil)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Sorted(slices.Values(id.Anchors))
	}
	both := slices.Sorted(slices.Values([]string{f.Clients.SHA256(), other.SHA256()}))
	first := f.load(nil)
	if got := anchors(first); !slices.Equal(got, both) {
		t.Fatalf("anchors %v, want %v", got, both)
	}
	f.cfg.ClientCA = all[1:]
	fewer := f.load(first)
	if got := anchors(fewer); !slices.Equal(got, []string{other.SHA256()}) {
		t.Errorf("with one CA left: anchors %v, want %v", got, other.SHA256())
	}
	f.cfg.ClientCA = all
	if got := anchors(f.load(fewer)); !slices.Equal(got, both) {
		t.Errorf("with both CAs again: anchors %v, want %v", got, both)
	}
}

// TestT48EveryPresentedCertificate: chains are remembered for all presented certificates, not for the leaf.
func TestT48EveryPresentedCertificate(t *testing.T) {
	f := newFixture(t)
	sub := f.Intermediate(f.Clients, pki.Shape{CN: "Sub"})
	p := peer(t, f.Issue(sub, pki.Shape{CN: "alice"}))
	s := f.load(nil)
	yes.check(t, s, p, time.Now())
	no(UnknownCA).check(t, s, p[:1], time.Now())
	yes.check(t, s, p, time.Now())
}

// TestT44EveryCertificateBelow: a CA's constraints bind the CAs below it, not the leaf alone.
func TestT44EveryCertificateBelow(t *testing.T) {
	f := newFixture(t)
	acme := pki.O("Acme")
	root := f.Root(pki.Shape{CN: "Root", Ext: []pki.Extension{pki.NameConstraints([]pki.GeneralName{pki.DirectoryName(pki.Name{acme})}, nil)}})
	f.cfg.ClientCA = []string{f.WriteCA(root, "root")}
	s := f.load(nil)
	leaf := pki.Shape{Subject: pki.Name{acme, pki.CN("alice")}}
	for _, tt := range []struct {
		name string
		sub  pki.Name
		want want
	}{
		{"inside", pki.Name{acme, pki.CN("Sub")}, yes},
		{"outside", pki.Name{pki.O("Evil"), pki.CN("Sub")}, no(NameConstraint)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sub := f.Intermediate(root, pki.Shape{Subject: tt.sub})
			tt.want.check(t, s, peer(t, f.Issue(sub, leaf)), time.Now())
		})
	}
}
