package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
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

// shown notes what became of our certificate: in TLS 1.3 our side of the handshake is done before
// the server has looked at it.
type shown struct {
	asked bool // by the server
	done  bool // our handshake is
}

// tlsConfig verifies the server's chain and name always (T69). There is no session cache: a resumed
// session would skip the certificates of both sides (T71).
func (p *peer) tlsConfig(seen *shown) *tls.Config {
	return &tls.Config{
		RootCAs:    p.roots,
		ServerName: p.serverName, // sent as SNI, unless it is an IP address
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // of TLS 1.2: forward secrecy and AEAD only (T83)
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: []string{alpn},
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

// dial opens a TCP connection and asks for TLS on it.
func (p *peer) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := dialTCP(ctx, addr)
	if err != nil {
		return nil, unreachable(err)
	}
	if p.direct {
		return conn, nil
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = negotiate(conn)
	if !stop() && err == nil {
		err = unreachable(context.Cause(ctx))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// negotiate sends SSLRequest and takes exactly one byte for an answer: 'S'. A second one is bytes
// that somebody put before TLS (CVE-2021-23222); they are refused, not passed on (W1, T70, A4). Text
// behind an 'E' comes from nobody known: it is not read (A5).
func negotiate(conn net.Conn) error {
	if _, err := conn.Write(sslRequest[:]); err != nil {
		return unreachable(err)
	}
	var answer [2]byte
	n, err := conn.Read(answer[:])
	if n == 0 {
		return unreachable(fmt.Errorf("answer to SSLRequest: %w", err))
	}
	switch {
	case answer[0] == 'S' && n == 1:
		return nil
	case answer[0] == 'S':
		return noTLS(errors.New("bytes before TLS, behind the answer to SSLRequest"))
	case answer[0] == 'N':
		return noTLS(errors.New("the server does not offer TLS: set ssl = on"))
	default:
		return noTLS(fmt.Errorf("answer to SSLRequest is byte %#02x: not a PostgreSQL server with TLS", answer[0]))
	}
}

// handshake completes TLS now: a tls.Client alone leaves that to the first write. For a login with
// a certificate, seen must come out asked.
func (p *peer) handshake(ctx context.Context, conn net.Conn, seen *shown) error {
	tc, ok := conn.(*tls.Conn)
	if !ok {
		return noTLS(errors.New("connection without TLS"))
	}
	if err := tc.HandshakeContext(ctx); err != nil {
		return tlsFailure(err, seen)
	}
	if p.direct && tc.ConnectionState().NegotiatedProtocol != alpn {
		return noTLS(errors.New(`direct TLS without ALPN: negotiation "direct" needs PostgreSQL 17`))
	}
	if p.cert != nil && !seen.asked {
		return unproven(errors.New("the server did not ask for our certificate: set ssl_ca_file"))
	}
	seen.done = true
	return nil
}

// tlsFailure tells who is at fault in a failed handshake, with a hint where Go's words do not help.
func tlsFailure(err error, seen *shown) error {
	if isAlert(err) && seen.asked {
		return err // about our certificate: see classify
	}
	if isLost(err) && !isAlert(err) {
		return unreachable(err)
	}
	e := noTLS(err)
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		e.hint = "Set server_name to a name in the server's certificate."
		if cert := name.Certificate; len(cert.DNSNames)+len(cert.IPAddresses) == 0 {
			e.hint = "Add a subjectAltName with its host name to the server's certificate; the common name does not count."
		}
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		e.hint = "Check that ca_file holds the CA that issued the server's certificate."
	}
	return e
}
