package config

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/reference"
)

// oddFiles writes files that something is wrong with, into DIR/odd.
type oddFiles struct {
	t   *testing.T
	dir string
	set *reference.Set
}

func makeOdd(t *testing.T, dir string, set *reference.Set) {
	t.Helper()
	o := &oddFiles{t, filepath.Join(dir, "odd"), set}
	o.keys()
	o.certificates()
	o.cas()
	o.crls()
	if err := os.Mkdir(filepath.Join(o.dir, "world"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(o.dir, "world"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (o *oddFiles) write(name string, data []byte, mode os.FileMode) {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		o.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		o.t.Fatal(err)
	}
}

func (o *oddFiles) keys() {
	key, err := o.set.Alice.KeyPEM()
	if err != nil {
		o.t.Fatal(err)
	}
	o.write("open.key", key, 0o666)
	o.write("encrypted.key", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{0x30, 0}}), 0o600)
	o.write("huge.key", append(key, bytes.Repeat([]byte("\n"), 1<<20)...), 0o600)
	o.write("short", []byte("secret\n"), 0o600)
	o.write("junk.crt", []byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), 0o600)
	if err := syscall.Mkfifo(filepath.Join(o.dir, "pipe.key"), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// leaf stores a server's certificate of that shape.
func (o *oddFiles) leaf(name string, from, to time.Time) {
	o.t.Helper()
	s := pki.ServerShape()
	s.CN, s.NotBefore, s.NotAfter = name, from, to
	leaf, err := o.set.Servers.Issue(s)
	if err != nil {
		o.t.Fatal(err)
	}
	o.store(name, leaf)
}

func (o *oddFiles) store(name string, leaf *pki.Leaf) {
	o.t.Helper()
	if _, _, err := leaf.Write(o.dir, name); err != nil {
		o.t.Fatal(err)
	}
}

func (o *oddFiles) certificates() {
	day := 24 * time.Hour
	o.leaf("expired", testNow.Add(-30*day), testNow.Add(-day))
	o.leaf("soon", testNow.Add(-30*day), testNow.Add(10*day))
	o.leaf("future", testNow.Add(day), testNow.Add(365*day))
	server, err := os.ReadFile(filepath.Join(filepath.Dir(o.dir), "pki", "server.crt"))
	if err != nil {
		o.t.Fatal(err)
	}
	o.write("order.crt", append(server, o.set.Clients.CertPEM()...), 0o600)
}

func (o *oddFiles) ca(name string, s pki.Shape) *pki.CA {
	o.t.Helper()
	s.CN = name
	if s.NotBefore.IsZero() {
		s.NotBefore, s.NotAfter = testNow.Add(-24*time.Hour), testNow.AddDate(1, 0, 0)
	}
	ca, err := pki.NewRoot(s)
	if err != nil {
		o.t.Fatal(err)
	}
	o.store(name, &ca.Leaf)
	return ca
}

func (o *oddFiles) cas() {
	o.ca("weak-ca", pki.Shape{Kind: pki.RSA1024})
	o.ca("no-sign-ca", pki.Shape{KeyUsage: []pki.KeyUsageBit{pki.CRLSign}})
	o.ca("nameless-ca", pki.Shape{RawSubject: []byte{0x30, 0}, Serial: big.NewInt(0x4f1c2ab0)})
	o.ca("v1-ca", pki.Shape{Version: 1})
	o.ca("expired-ca", pki.Shape{NotBefore: testNow.AddDate(-2, 0, 0), NotAfter: testNow.AddDate(-1, 0, 0)})
	o.ca("future-ca", pki.Shape{NotBefore: testNow.AddDate(1, 0, 0), NotAfter: testNow.AddDate(2, 0, 0)})
	easy := pki.BasicConstraints(true, -1)
	easy.Critical = false
	o.ca("easy-ca", pki.Shape{Omit: []pki.OID{pki.OIDBasicConstraints, pki.OIDSubjectKeyID}, Ext: []pki.Extension{easy}})
	o.ca("long-ca", pki.Shape{})
	o.ca("same-key-ca", pki.Shape{Key: o.set.Roles.Key})
}

func (o *oddFiles) crl(name string, ca *pki.CA, s pki.CRLShape) {
	o.t.Helper()
	if s.ThisUpdate.IsZero() {
		s.ThisUpdate, s.NextUpdate = testNow.Add(-time.Hour), testNow.AddDate(0, 0, 7)
	}
	der, err := ca.CRL(s)
	if err != nil {
		o.t.Fatal(err)
	}
	if _, err := x509.ParseRevocationList(der); err != nil {
		o.t.Fatal(err)
	}
	o.write(name, der, 0o600)
}

func (o *oddFiles) crls() {
	o.crl("stale.crl", o.set.Clients, pki.CRLShape{ThisUpdate: testNow.AddDate(0, 0, -8), NextUpdate: testNow.AddDate(0, 0, -1)})
	o.crl("foreign.crl", o.set.Clients, pki.CRLShape{SignedBy: o.set.Admin.Key})
	o.crl("future.crl", o.set.Clients, pki.CRLShape{ThisUpdate: testNow.AddDate(0, 0, 1), NextUpdate: testNow.AddDate(0, 0, 8), Omit: []pki.OID{pki.OIDCRLNumber}})
	o.crl("crls/a.crl", o.set.Clients, pki.CRLShape{ThisUpdate: testNow.AddDate(0, 0, -3), NoNextUpdate: true})
	o.write("crls/notes.txt", []byte("not a CRL"), 0o600)
}
