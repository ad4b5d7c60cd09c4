package trust

import (
	"crypto/tls"
	"crypto/x509"
)

// suites12 are the TLS 1.2 suites offered: ECDHE key exchange, authenticated encryption (T83).
// TLS 1.3 suites are not configurable and all fit.
var suites12 = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// ServerTLS is the configuration of the listener's TLS. It asks for a client certificate and
// verifies none of it: call Verify after every handshake (T31). The value is shared and must not be
// changed.
func (s *Snapshot) ServerTLS() *tls.Config { return s.tls }

func (s *Snapshot) newServerTLS() *tls.Config {
	cfg := &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate(), nil },
		ClientAuth:     tls.RequestClientCert,
		ClientCAs:      s.caNames(), // names for CertificateRequest only (T85)
		NextProtos:     []string{"postgresql"},
		MinVersion:     max(s.cfg.MinTLS, tls.VersionTLS12),
		CipherSuites:   suites12,

		SessionTicketsDisabled:      true, // as in PostgreSQL (T33)
		DynamicRecordSizingDisabled: true, // full records from the first byte (T87)
	}
	if s.cfg.SessionTickets {
		s.useTickets(cfg)
	}
	return cfg
}

// certificate is the listener's own, with a current OCSP response when there is one.
func (s *Snapshot) certificate() *tls.Certificate {
	if s.stapler != nil {
		if c := s.stapler.current(s.ocsp.clock()); c != nil {
			return c
		}
	}
	return s.server
}

// caNames is the pool whose subjects CertificateRequest lists.
func (s *Snapshot) caNames() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, ca := range s.Anchors() {
		pool.AddCert(ca)
	}
	return pool
}
