package pki_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/pki"
)

func readCRL(t *testing.T, ca *pki.CA) *x509.RevocationList {
	t.Helper()
	data, err := os.ReadFile(ca.CRLFile())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	list, err := x509.ParseRevocationList(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(ca.Certificate); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRevoke(t *testing.T) {
	ca, dir := newCA(t)
	alice := issue(t, ca, pki.Request{Name: "alice", Subject: pki.Subject{CN: "alice"}}).Certificate
	bob := issue(t, ca, pki.Request{Name: "bob", Subject: pki.Subject{CN: "bob"}}).Certificate
	done, err := ca.Revoke(pki.Revocation{Name: "alice", Reason: "keyCompromise"})
	if err != nil || done.CRLNumber != 2 || done.Name != "alice" || done.Serial != alice.SerialNumber.Text(16) {
		t.Fatalf("got %+v, %v", done, err)
	}
	if err := os.Remove(filepath.Join(dir, "bob.crt")); err != nil {
		t.Fatal(err)
	}
	_, err = ca.Revoke(pki.Revocation{Name: "bob"})
	wantError(t, err, "give the serial")
	serial := strings.ToUpper(bob.SerialNumber.Text(16))
	if _, err = ca.Revoke(pki.Revocation{Serial: serial[:2] + ":" + serial[2:]}); err != nil {
		t.Fatal(err)
	}
	list := readCRL(t, ca)
	entries := list.RevokedCertificateEntries
	if list.Number.Int64() != 3 || len(entries) != 2 || entries[0].SerialNumber.Cmp(alice.SerialNumber) != 0 ||
		entries[0].ReasonCode != 1 || entries[1].SerialNumber.Cmp(bob.SerialNumber) != 0 || entries[1].ReasonCode != 0 {
		t.Errorf("got CRL %v with %+v", list.Number, entries)
	}
	for want, r := range map[string]pki.Revocation{
		"was revoked at":             {Name: "alice"},
		"issued no such certificate": {Serial: "ff"},
		"no positive hexadecimal":    {Serial: "-1"},
		"want one of":                {Name: "alice", Reason: "certificateHold"},
		"want 1 to 100":              {},
	} {
		_, err := ca.Revoke(r)
		wantError(t, err, want)
	}
}

// TestRenewCRL: numbers only rise, also when the list is restored from an older copy.
func TestRenewCRL(t *testing.T) {
	ca, dir := newCA(t)
	old, err := os.ReadFile(filepath.Join(dir, "ca.json"))
	if err != nil {
		t.Fatal(err)
	}
	for want := int64(2); want < 5; want++ {
		list, err := ca.RenewCRL(time.Hour)
		if err != nil || list.Number.Int64() != want {
			t.Fatalf("got %+v, %v, want number %d", list, err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.json"), old, 0o644); err != nil {
		t.Fatal(err)
	}
	if list, err := ca.RenewCRL(0); err != nil || list.Number.Int64() != 5 {
		t.Errorf("after a restore: got %+v, %v, want number 5", list, err)
	}
	if err := os.Remove(ca.CRLFile()); err != nil {
		t.Fatal(err)
	}
	if list, err := ca.RenewCRL(0); err != nil || list.Number.Int64() != 6 {
		t.Errorf("after the CRL was removed: got %+v, %v, want number 6", list, err)
	}
	_, err = ca.RenewCRL(-time.Hour)
	wantError(t, err, "must be positive")
}
