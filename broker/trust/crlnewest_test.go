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

// TestT56NewestDecides: a certificate that the newest list has taken off is not held to an older one
// beside it.
func TestT56NewestDecides(t *testing.T) {
	f := newCRLFixture(t)
	held := revoke(f.alice)
	held.Number = big.NewInt(1)
	f.cfg.CRL = []string{f.crl(f.Clients, "one.crl", held)}
	no(RevokedCRL).check(t, f.load(nil), peer(t, f.alice), time.Now())
	f.cfg.CRL = append(f.cfg.CRL, f.crl(f.Clients, "two.crl", pki.CRLShape{Number: big.NewInt(2)}))
	yes.check(t, f.load(nil), peer(t, f.alice), time.Now())
}

// TestT53AmbiguousCRLs: a list that two readers could read differently is no list. In a directory it is
// skipped, and what was missing stays missing.
func TestT53AmbiguousCRLs(t *testing.T) {
	f := newCRLFixture(t)
	for name, s := range map[string]pki.CRLShape{
		"an extension twice":          {Ext: []pki.Extension{pki.CRLNumber(big.NewInt(7))}},
		"two signature algorithms":    {InnerAlg: pki.ECDSAWithSHA384},
		"an entry's extension twice":  {Revoked: []pki.Revoked{{Serial: big.NewInt(5), Ext: []pki.Extension{pki.StringExtension(oidTeam, 0, "x"), pki.StringExtension(oidTeam, 0, "y")}}}},
		"a negative number":           {Omit: []pki.OID{pki.OIDCRLNumber}, Ext: []pki.Extension{pki.CRLNumber(big.NewInt(-1))}},
		"bytes behind the CRL number": {Omit: []pki.OID{pki.OIDCRLNumber}, Ext: []pki.Extension{{ID: pki.OIDCRLNumber, Value: []byte{2, 1, 7, 5, 0}}}},
	} {
		t.Run(name, func(t *testing.T) {
			path := f.crl(f.Clients, "odd.crl", s)
			g := *f.fixture
			g.cfg.CRL = []string{path}
			if _, err := Load(g.cfg, time.Now(), nil); err == nil {
				t.Error("loaded as a named file")
			}
			dir := t.TempDir()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "odd.crl"), data, 0o600); err != nil {
				t.Fatal(err)
			}
			g.cfg.CRL = []string{dir}
			snap := g.load(nil)
			no(CRLStale).check(t, snap, peer(t, f.alice), time.Now())
			if !slices.Contains(kinds(snap), "crl_skipped") {
				t.Errorf("notices %v, want crl_skipped", kinds(snap))
			}
		})
	}
}
