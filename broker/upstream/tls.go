package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
)

// sslRequest is PostgreSQL's SSLRequest packet: length 8, code 1234.5679.
var sslRequest = [8]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}

// alpn is PostgreSQL's protocol name (T83).
const alpn = "postgresql"

// peer is how a server is spoken to and verified: once for the login, and the same again for
// cancels (W77).
type peer struct {
	direct     bool
	serverName string
	roots      *x509.CertPool
	cert       *tls.Certificate // ours; nil: none to show
}

// shown notes what the server asked for.
type shown struct{ asked bool }

// tlsConfig verifies the server's chain and name always (T69). There is no session cache: a resumed
// session would skip the certificates of both sides (T71).
func (p *peer) tlsConfig(seen *shown) *tls.Config {
	return &tls.Config{
		RootCAs:      p.roots,
		ServerName:   p.serverName,
		MinVersion:   tls.VersionTLS12,
		CipherSuites: aeadSuites(),
		NextProtos:   []string{alpn},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			seen.asked = true
			if p.cert == nil {
				return &tls.Certificate{}, nil
			}
			return p.cert, nil
		},
		DynamicRecordSizingDisabled: true, // T87
	}
}

// aeadSuites are TLS 1.2's suites with forward secrecy and AEAD (T83).
func aeadSuites() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}

// negotiate asks for TLS on a new TCP connection and reads exactly the one byte that may come
// back; whatever a server sends behind it reaches TLS, never the protocol (W1, T70, A4).
func (p *peer) negotiate(ctx context.Context, conn net.Conn) error {
	if p.direct {
		return nil
	}
	stop := closeOnDone(ctx, conn)
	defer stop()
	if _, err := conn.Write(sslRequest[:]); err != nil {
		return unreachable(err)
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return unreachable(fmt.Errorf("answer to SSLRequest: %w", err))
	}
	switch answer[0] {
	case 'S':
		return nil
	case 'N':
		return noTLS(errors.New("the server does not offer TLS"))
	default:
		return noTLS(fmt.Errorf("answer to SSLRequest is byte %#02x, not a PostgreSQL server with TLS", answer[0]))
	}
}

// checkALPN holds a direct connection to PostgreSQL's protocol name, as libpq does.
func (p *peer) checkALPN(state tls.ConnectionState) error {
	if p.direct && state.NegotiatedProtocol != alpn {
		return noTLS(errors.New("direct TLS without ALPN: negotiation \"direct\" needs PostgreSQL 17"))
	}
	return nil
}

// closeOnDone closes conn when ctx ends, which stops a blocked read or write.
func closeOnDone(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { conn.Close() })
}
