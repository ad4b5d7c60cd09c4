package e2e

import (
	"math/big"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestA27ToA55CertificateValidity is the catalogue's section on certificates, each case with a real
// login.
func TestA27ToA55CertificateValidity(t *testing.T) {
	w := Shared(t)
	now := time.Now()
	zero := 0
	leaf := func(s pki.Shape) *pki.Leaf {
		if s.CN == "" && s.Subject == nil {
			s.CN = "alice"
		}
		return w.Issue(w.Clients, s)
	}
	below := func(ca pki.Shape, s pki.Shape) *pki.Leaf {
		if s.CN == "" && s.Subject == nil {
			s.CN = "alice"
		}
		return w.Issue(w.Intermediate(w.Clients, ca), s)
	}
	critical := func(e pki.Extension) pki.Extension { e.Critical = true; return e }
	looseBC := pki.BasicConstraints(true, -1)
	looseBC.Critical = false
	stranger := w.Root(pki.Shape{CN: "Stranger"})
	fake := w.Root(pki.Shape{RawSubject: w.Clients.X509.RawSubject, Omit: []pki.OID{pki.OIDSubjectKeyID, pki.OIDAuthorityKeyID},
		Ext: []pki.Extension{pki.SubjectKeyID(w.Clients.X509.SubjectKeyId)}})
	oldRoot := w.Root(pki.Shape{CN: "Old Root", NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)})
	rsaRoot := w.Root(pki.Shape{CN: "RSA Root", Kind: pki.RSA2048})
	centuries := w.Root(pki.Shape{CN: "Centuries", Lifetime: 150 * 365 * 24 * time.Hour})
	easyRSA := w.Root(pki.Shape{CN: "Easy", Omit: []pki.OID{pki.OIDBasicConstraints}, Ext: []pki.Extension{looseBC}})

	alone := below(pki.Shape{CN: "Missing"}, pki.Shape{})
	alone.Chain = nil
	one := w.Intermediate(w.Clients, pki.Shape{CN: "One"})
	shuffled := w.Issue(w.Intermediate(one, pki.Shape{CN: "Two"}), pki.Shape{CN: "alice"})
	shuffled.Chain = [][]byte{one.DER, stranger.DER, fake.DER, w.Clients.DER, shuffled.Chain[0]}
	anchor := w.Clients.Leaf
	short := w.Intermediate(w.Clients, pki.Shape{CN: "Short", PathLen: &zero})
	constrained := func(nc pki.Extension, s pki.Shape) *pki.Leaf { return below(pki.Shape{Ext: []pki.Extension{nc}}, s) }
	example := []pki.GeneralName{pki.DNSName("example.com")}
	crowd := leaf(pki.Shape{})
	for range 10 {
		crowd.Chain = append(crowd.Chain, stranger.DER)
	}
	mid := leaf(pki.Shape{CN: "mid", KeyUsage: []pki.KeyUsageBit{pki.DigitalSignature}})
	twin, err := pki.SelfSigned(pki.Shape{CN: "alice", Serial: leaf(pki.Shape{}).X509.SerialNumber, Issuer: pki.Name{pki.CN("Test Clients CA")},
		Omit: []pki.OID{pki.OIDAuthorityKeyID}, Ext: []pki.Extension{pki.AuthorityKeyID(w.Clients.X509.SubjectKeyId)}})
	if err != nil {
		t.Fatal(err)
	}
	var bundle string
	for _, ca := range []*pki.CA{w.Clients, oldRoot, rsaRoot, centuries, easyRSA} {
		bundle += string(ca.PEM())
	}
	runAttacks(t, Options{Files: map[string]string{"clients-ca.crt": bundle}}, []attack{
		{name: "A19 eleven certificates", leaf: crowd, want: "cert_limits", noLibpq: true},
		{name: "A27 none", want: "no_cert", told: "certificate"},
		{name: "A28 expired", leaf: leaf(pki.Shape{NotAfter: now.Add(-time.Second)}), want: "expired", told: "expired"},
		{name: "A29 not yet valid", leaf: leaf(pki.Shape{NotBefore: now.Add(time.Hour)}), want: "not_yet_valid", told: "clock reads"},
		{name: "A31 unknown CA", leaf: w.Issue(stranger, pki.Shape{CN: "alice"}), want: "unknown_ca"},
		{name: "A32 same name, other key", leaf: w.Issue(fake, pki.Shape{CN: "alice"}), want: "unknown_ca"},
		{name: "A33 expired intermediate", leaf: below(pki.Shape{CN: "Old Sub", NotAfter: now.Add(-time.Minute)}, pki.Shape{}), want: "expired", told: "Old Sub"},
		{name: "A34 expired root", leaf: w.Issue(oldRoot, pki.Shape{CN: "alice"}), want: "expired", told: "Old Root"},
		{name: "A35 missing intermediate", leaf: alone, want: "unknown_ca", told: `issuer "CN=Missing" of "CN=alice" not found`},
		{name: "A36 out of order", leaf: shuffled, want: "ok"},
		{name: "A37 self-signed twin", leaf: twin, want: "unknown_ca"},
		{name: "A37 an anchor", leaf: &anchor, want: "is_ca"},
		{name: "A38 serverAuth", leaf: leaf(pki.Shape{ServerAuth: true}), want: "eku", noLibpq: true},
		{name: "A39 no EKU", leaf: leaf(pki.Shape{Omit: []pki.OID{pki.OIDExtKeyUsage}}), want: "ok"},
		{name: "A40 any", leaf: leaf(pki.Shape{EKU: []pki.OID{pki.EKUAny}}), want: "eku"},
		{name: "A41 empty list", leaf: leaf(pki.Shape{EKU: []pki.OID{}}), want: "eku", noLibpq: true},
		{name: "A42 intermediate for servers", leaf: below(pki.Shape{EKU: []pki.OID{pki.EKUServerAuth}}, pki.Shape{}), want: "eku"},
		{name: "A43 no digitalSignature", leaf: leaf(pki.Shape{KeyUsage: []pki.KeyUsageBit{pki.KeyEncipherment}}), want: "key_usage"},
		{name: "A43 no bit", leaf: leaf(pki.Shape{KeyUsage: []pki.KeyUsageBit{}}), want: "key_usage", noLibpq: true},
		{name: "A44 keyCertSign", leaf: leaf(pki.Shape{KeyUsage: []pki.KeyUsageBit{pki.DigitalSignature, pki.KeyCertSign}}), want: "key_usage"},
		{name: "A45 CA", leaf: leaf(pki.Shape{IsCA: true}), want: "is_ca"},
		{name: "A46 leaf as issuer", leaf: w.Issue(mid.AsCA(w.Clients), pki.Shape{CN: "alice"}), want: "unknown_ca"},
		{name: "A47 path length", leaf: w.Issue(w.Intermediate(short, pki.Shape{CN: "Deep"}), pki.Shape{CN: "alice"}), want: "path_length"},
		{name: "A48 v1", leaf: leaf(pki.Shape{Version: 1}), want: "ok"},
		{name: "A48 v2", leaf: leaf(pki.Shape{Version: 2}), want: "version"},
		{name: "A48 v1 with extensions", leaf: leaf(pki.Shape{Version: 1, Ext: []pki.Extension{pki.SubjectAltName(pki.DNSName("a.b"))}}), want: "version"},
		{name: "A49 loose basicConstraints", leaf: w.Issue(easyRSA, pki.Shape{CN: "alice"}), want: "ok"},
		{name: "A50 critical extension", leaf: leaf(pki.Shape{Ext: []pki.Extension{critical(pki.StringExtension(pki.OID{1, 2, 3, 4}, 0, "x"))}}), want: "critical_ext"},
		{name: "A51 critical, and a rule reads it", leaf: leaf(pki.Shape{Ext: []pki.Extension{critical(pki.StringExtension(oidTeam, 0, "payments"))}}), want: "ok"},
		{name: "A52 duplicate extension", leaf: leaf(pki.Shape{Ext: []pki.Extension{pki.KeyUsage(pki.DigitalSignature)}}), want: "alert 50"},
		// Go takes bytes behind the names; we do not.
		{name: "A53 trailing DER in SAN", leaf: leaf(pki.Shape{Ext: []pki.Extension{{ID: pki.OIDSubjectAltName, Value: append(pki.SubjectAltName(pki.DNSName("a.b")).Value, 5, 0)}}}), want: "illegal_value"},
		{name: "A53 trailing DER in extKeyUsage", leaf: leaf(pki.Shape{Omit: []pki.OID{pki.OIDExtKeyUsage}, Ext: []pki.Extension{{ID: pki.OIDExtKeyUsage, Value: append(pki.EKU(pki.EKUClientAuth).Value, 5, 0)}}}), want: "illegal_value", noLibpq: true},
		{name: "A53 trailing DER in constraints", leaf: leaf(pki.Shape{Ext: []pki.Extension{{ID: pki.OIDNameConstraints, Value: append(pki.NameConstraints(example, nil).Value, 5, 0)}}}), want: "alert 50"},
		{name: "A53 trailing DER in a mapped one", leaf: leaf(pki.Shape{Ext: []pki.Extension{{ID: oidTeam, Value: append(pki.StringExtension(oidTeam, 0, "payments").Value, 0)}}}), want: "illegal_value"},
		{name: "A54 DNS permitted", leaf: constrained(pki.NameConstraints(example, nil), pki.Shape{DNS: []string{"a.example.com"}}), want: "ok"},
		{name: "A54 DNS not permitted", leaf: constrained(pki.NameConstraints(example, nil), pki.Shape{DNS: []string{"a.example.org"}}), want: "name_constraint"},
		{name: "A54 DN not permitted", leaf: constrained(pki.NameConstraints([]pki.GeneralName{pki.DirectoryName(pki.Name{pki.O("Acme")})}, nil), pki.Shape{Subject: pki.Name{pki.O("Evil"), pki.CN("alice")}}), want: "name_constraint"},
		{name: "A54 email excluded", leaf: constrained(pki.NameConstraints(nil, []pki.GeneralName{pki.RFC822Name("example.com")}), pki.Shape{Email: []string{"a@example.com"}}), want: "name_constraint"},
		{name: "A54 leading dot", leaf: constrained(pki.NameConstraints([]pki.GeneralName{pki.DNSName(".example.com")}, nil), pki.Shape{DNS: []string{"a.example.com"}}), want: "name_constraint"},
		{name: "A54 in a leaf", leaf: leaf(pki.Shape{Ext: []pki.Extension{pki.NameConstraints(example, nil)}}), want: "name_constraint"},
		{name: "A54 malformed", leaf: constrained(pki.NameConstraints([]pki.GeneralName{{0xa4, 2, 0x30, 5}}, nil), pki.Shape{}), want: "name_constraint", noLibpq: true},
		{name: "A55 RSA-1024", leaf: leaf(pki.Shape{Kind: pki.RSA1024}), want: "weak_key", noLibpq: true},
		{name: "A55 RSA-2047", leaf: leaf(pki.Shape{Kind: pki.RSA2047}), want: "weak_key", noLibpq: true},
		{name: "A55 SHA-1", leaf: w.Issue(rsaRoot, pki.Shape{CN: "alice", SigAlg: pki.SHA1WithRSA}), want: "sig_alg", noLibpq: true},
		{name: "A55 MD5", leaf: w.Issue(rsaRoot, pki.Shape{CN: "alice", SigAlg: pki.MD5WithRSA}), want: "sig_alg", noLibpq: true},
		{name: "A55 serial 0", leaf: leaf(pki.Shape{Serial: big.NewInt(0)}), want: "serial"},
		{name: "A55 serial of 21 octets", leaf: leaf(pki.Shape{Serial: new(big.Int).Lsh(big.NewInt(1), 160)}), want: "serial", noLibpq: true},
		{name: "A55 negative serial", leaf: leaf(pki.Shape{Serial: big.NewInt(-5)}), want: "alert 50"},
		{name: "A55 a hundred years", leaf: w.Issue(centuries, pki.Shape{CN: "alice", Lifetime: 100 * 365 * 24 * time.Hour}), want: "ok"},
	})
}
