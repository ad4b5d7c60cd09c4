package trust

import (
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
	"golang.org/x/crypto/ocsp"
)

// FuzzCRL: no panic; what this parser and x509's both read, they read alike.
func FuzzCRL(f *testing.F) {
	ca, err := pki.NewRoot(pki.Shape{CN: "CA"})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []pki.CRLShape{
		{}, {NoNextUpdate: true}, {Version: 1}, {DeltaBase: big.NewInt(1)}, {IDP: &pki.IDP{OnlyUser: true, Indirect: true}},
		{IDP: &pki.IDP{Names: []pki.GeneralName{pki.URIName("http://crl.example/")}}},
		{Revoked: []pki.Revoked{{Serial: big.NewInt(77), Reason: 6}, {Serial: big.NewInt(-1)}, {Serial: big.NewInt(0)}}},
	} {
		der, err := ca.CRL(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
		f.Add(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lists, err := parseCRLs("fuzz", data)
		if err != nil {
			return
		}
		for _, l := range lists {
			l.countsFor(ca.X509)
			sub := &subject{cert: ca.X509, issuer: ca.X509}
			l.scope.covers(sub)
			if l.serials.len() > len(data) {
				t.Errorf("%d serials from %d bytes", l.serials.len(), len(data))
			}
		}
		theirs, err := x509.ParseRevocationList(data)
		if err != nil || len(lists) != 1 {
			return
		}
		agree(t, lists[0], theirs)
	})
}

func agree(t *testing.T, ours *crl, theirs *x509.RevocationList) {
	t.Helper()
	if !ours.thisUpdate.Equal(theirs.ThisUpdate) || !ours.nextUpdate.Equal(theirs.NextUpdate) ||
		string(ours.issuer) != string(theirs.RawIssuer) {
		t.Errorf("dates or issuer differ: %+v and %+v", ours, theirs)
	}
	if theirs.Number != nil && (ours.number == nil || ours.number.Cmp(theirs.Number) != 0) {
		t.Errorf("number %v, x509 reads %v", ours.number, theirs.Number)
	}
	for _, e := range theirs.RevokedCertificateEntries {
		if e.SerialNumber.Sign() <= 0 || e.SerialNumber.BitLen() > 8*serialLen {
			continue
		}
		n, ok := serialFrom(append([]byte{0}, e.SerialNumber.Bytes()...))
		if !ok || !ours.serials.contains(n) {
			t.Errorf("serial %x is missing", e.SerialNumber)
		}
	}
}

// FuzzOCSP: no panic; a response that is accepted says the same to x/crypto.
func FuzzOCSP(f *testing.F) {
	ca, err := pki.NewRoot(pki.Shape{CN: "CA"})
	if err != nil {
		f.Fatal(err)
	}
	leaf, err := ca.Issue(pki.Shape{CN: "alice", Serial: big.NewInt(4711)})
	if err != nil {
		f.Fatal(err)
	}
	delegate, err := ca.Issue(pki.Shape{CN: "OCSP", EKU: []pki.OID{pki.EKUOCSPSigning}})
	if err != nil {
		f.Fatal(err)
	}
	serial := leaf.X509.SerialNumber
	for _, s := range []pki.OCSPShape{
		{}, {Status: pki.OCSPRevoked, Reason: 1}, {Status: pki.OCSPUnknown}, {Responder: delegate}, {ByKey: true, SHA256: true},
		{NoNextUpdate: true, Nonce: []byte("n")}, {Others: []pki.OCSPShape{{Serial: big.NewInt(1)}}},
	} {
		s.Serial = serial
		der, err := ca.OCSP(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Add(pki.OCSPError(3))
	sub := subjectsOf([]*x509.Certificate{leaf.X509, ca.X509})[0]
	now := time.Now()
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := verifyOCSP(data, &sub, now, nil, func(*subject) bool { return false })
		if err != nil {
			return
		}
		theirs, err := ocsp.ParseResponseForCert(data, leaf.X509, ca.X509)
		if err != nil {
			return // x/crypto refuses more forms
		}
		words := map[int]ocspWord{ocsp.Good: saysGood, ocsp.Revoked: saysRevoked, ocsp.Unknown: saysUnknown}
		if a.word != words[theirs.Status] || !a.thisUpdate.Equal(theirs.ThisUpdate) {
			t.Errorf("says %d of %s, x/crypto reads %d of %s", a.word, a.thisUpdate, theirs.Status, theirs.ThisUpdate)
		}
	})
}

// FuzzVerify: a certificate of any bytes never panics and is never admitted.
func FuzzVerify(f *testing.F) {
	ca, err := pki.NewRoot(pki.Shape{CN: "CA"})
	if err != nil {
		f.Fatal(err)
	}
	other, err := pki.NewRoot(pki.Shape{CN: "CA"})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []pki.Shape{
		{CN: "alice"}, {Version: 1, CN: "x"}, {SPIFFE: "spiffe://a.example/x"},
		{CN: "x", IsCA: true, Ext: []pki.Extension{pki.NameConstraints([]pki.GeneralName{pki.DirectoryName(pki.Name{pki.O("x")})}, nil)}},
	} {
		leaf, err := other.Issue(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(leaf.DER, other.DER)
	}
	set, err := newAnchorSet([]*x509.Certificate{ca.X509})
	if err != nil {
		f.Fatal(err)
	}
	s := bareSnapshot(set)
	s.domains = map[string]*anchorSet{"a.example": set}
	now := time.Now()
	f.Fuzz(func(t *testing.T, leaf, inter []byte) {
		var peer []*x509.Certificate
		for _, der := range [][]byte{leaf, inter} {
			if c, err := x509.ParseCertificate(der); err == nil {
				peer = append(peer, c)
			}
		}
		v, err := s.Verify(t.Context(), peer, nil, now)
		if v != nil {
			t.Fatal("admitted without a signature of the CA")
		}
		if r, ok := err.(*Refusal); !ok || r.Reason() == string(internalReason) {
			t.Errorf("refused as %v", err)
		}
	})
}
