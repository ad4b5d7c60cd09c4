package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// selfSigned writes a P-256 pair and returns its files.
func selfSigned(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writeFile(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
	writeFile(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600)
	return certFile, keyFile
}

func writeFile(t *testing.T, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestA114KeyFile: a key that others can read, or that is no plain file, is a load error (T82).
func TestA114KeyFile(t *testing.T) {
	good, key := selfSigned(t, t.TempDir())
	data, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey := selfSigned(t, t.TempDir())
	for _, tt := range []struct {
		name  string
		write func(path string)
		want  string // part of the error; empty: accepted
		root  bool   // needs root
	}{
		{name: "0600", write: func(p string) { writeFile(t, p, data, 0o600) }},
		{name: "0400", write: func(p string) { writeFile(t, p, data, 0o400) }},
		{name: "0644", write: func(p string) { writeFile(t, p, data, 0o644) }, want: "group or world access"},
		{name: "0604", write: func(p string) { writeFile(t, p, data, 0o604) }, want: "group or world access"},
		{name: "0440 of root", write: func(p string) { writeFile(t, p, data, 0o440) }, root: true},
		{name: "0460 of root", write: func(p string) { writeFile(t, p, data, 0o460) }, want: "group or world access", root: true},
		{name: "other owner", write: func(p string) {
			writeFile(t, p, data, 0o600)
			if err := os.Chown(p, 12345, 12345); err != nil {
				t.Fatal(err)
			}
		}, want: "belongs to uid 12345", root: true},
		{name: "symlink", write: func(p string) {
			if err := os.Symlink(key, p); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "symlink to shadow", write: func(p string) {
			if err := os.Symlink("/etc/shadow", p); err != nil {
				t.Fatal(err)
			}
		}, want: "holds no PEM private key", root: true},
		{name: "FIFO", write: func(p string) {
			if err := syscall.Mkfifo(p, 0o600); err != nil {
				t.Fatal(err)
			}
		}, want: "not a regular file"},
		{name: "directory", write: func(p string) {
			if err := os.Mkdir(p, 0o700); err != nil {
				t.Fatal(err)
			}
		}, want: "not a regular file"},
		{name: "1 GB", write: func(p string) {
			writeFile(t, p, data, 0o600)
			if err := os.Truncate(p, 1<<30); err != nil {
				t.Fatal(err)
			}
		}, want: "more than 1048576"},
		{name: "other key", write: func(p string) {
			other, err := os.ReadFile(otherKey)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, p, other, 0o600)
		}, want: "private key does not match public key"},
		{name: "PKCS #8 encrypted", write: func(p string) {
			writeFile(t, p, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1}}), 0o600)
		}, want: "is encrypted"},
		{name: "PEM encrypted", write: func(p string) {
			writeFile(t, p, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte{1}}), 0o600)
		}, want: "is encrypted"},
		{name: "empty", write: func(p string) { writeFile(t, p, nil, 0o600) }, want: "holds no PEM private key"},
		{name: "missing", write: func(string) {}, want: "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				t.Skip("needs root to own or give away files")
			}
			path := filepath.Join(t.TempDir(), "k")
			tt.write(path)
			_, err := LoadKeyPair(good, path)
			switch {
			case tt.want == "" && err != nil:
				t.Fatalf("got %v, want it accepted", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Fatalf("got %v, want an error with %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "root:") {
				t.Fatalf("file contents in the error: %v", err)
			}
		})
	}
}
