package trust

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ErrPair is returned by LoadKeyPair when key and certificate do not fit: a mistake, or half of a
// pair has been written and the other follows (T79).
var ErrPair = errors.New("they are no pair")

// LoadKeyPair reads a PEM certificate chain (leaf first) and its PEM private key. The key file must
// be regular, at most 1 MiB, unencrypted and closed to other users (T82); key and certificate must
// fit. Leaf is set. No error text holds file contents.
func LoadKeyPair(certFile, keyFile string) (tls.Certificate, error) {
	chain, err := loadPEMCerts(certFile, maxKeyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	keyPEM, err := readFile(keyFile, maxKeyFile, true)
	if err != nil {
		return tls.Certificate{}, err
	}
	defer clear(keyPEM)
	if err := checkKeyPEM(keyFile, keyPEM); err != nil {
		return tls.Certificate{}, err
	}
	var certPEM bytes.Buffer
	for _, c := range chain {
		if err := pem.Encode(&certPEM, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			return tls.Certificate{}, fmt.Errorf("encode %s: %w", certFile, err)
		}
	}
	pair, err := tls.X509KeyPair(certPEM.Bytes(), keyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate %s and key %s: %w: %v", certFile, keyFile, ErrPair, err)
	}
	pair.Leaf = chain[0]
	return pair, nil
}

// checkKeyPEM says in an operator's words what is wrong with a key file.
func checkKeyPEM(path string, data []byte) error {
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return fmt.Errorf("%s holds no PEM private key", path)
		}
		if b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") {
			return fmt.Errorf("%s is encrypted: write it without a passphrase (openssl pkey -in … -out …)", path)
		}
		if b.Type == "PRIVATE KEY" || strings.HasSuffix(b.Type, " PRIVATE KEY") {
			return nil
		}
	}
}

// LoadCAs reads every certificate of the PEM files, in order, each once. A file without a
// certificate, or with a block that is not one, is an error.
func LoadCAs(files []string) ([]*x509.Certificate, error) {
	var cas []*x509.Certificate
	seen := map[string]bool{}
	for _, file := range files {
		certs, err := loadPEMCerts(file, maxCAFile)
		if err != nil {
			return nil, err
		}
		for _, c := range certs {
			if !seen[string(c.Raw)] {
				seen[string(c.Raw)] = true
				cas = append(cas, c)
			}
		}
	}
	return cas, nil
}

// loadPEMCerts parses all CERTIFICATE blocks of a file; there is at least one.
func loadPEMCerts(path string, limit int64) ([]*x509.Certificate, error) {
	rest, err := readFile(path, limit, false)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s holds a %q block: only certificates belong there", path, b.Type)
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s, certificate %d: %w", path, len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	if bytes.Contains(rest, []byte("-----BEGIN")) {
		return nil, fmt.Errorf("%s: the PEM block after certificate %d is cut or damaged", path, len(certs))
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	return certs, nil
}
