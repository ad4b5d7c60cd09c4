package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/fakepg"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// static is a password for every role.
type static string

func (static) TLSCertificate(string) (*tls.Certificate, error) { return nil, nil }
func (s static) Password(string) (string, error)               { return string(s), nil }

// withServer starts a fake server on a certificate of any shape.
func (l *lab) withServer(t *testing.T, s pki.Shape, ca *pki.CA) *fakepg.Server {
	t.Helper()
	config := l.serverTLS()
	config.Certificates = []tls.Certificate{l.Issue(ca, s).TLS()}
	return fakepg.Start(t, fakepg.Options{TLS: config}, welcome)
}

func serverShape(dns []string, ips ...netip.Addr) pki.Shape {
	return pki.Shape{CN: "localhost", DNS: dns, IP: ips, ServerAuth: true}
}

// T69: verify-full, always.
func TestT69VerifyFull(t *testing.T) {
	l := newLab(t)
	loopback, other := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.9")
	for _, tt := range []struct {
		name       string
		shape      pki.Shape
		ca         *pki.CA
		serverName string
		ok         bool
		hint       string
	}{
		{name: "host is an IP SAN", shape: serverShape(nil, loopback), ca: l.Servers, ok: true},
		{name: "server_name is a DNS SAN", shape: serverShape([]string{"db.example"}), ca: l.Servers, serverName: "db.example", ok: true},
		{name: "server_name is an IP SAN", shape: serverShape(nil, other), ca: l.Servers, serverName: "10.0.0.9", ok: true},
		{name: "wrong IP SAN", shape: serverShape(nil, other), ca: l.Servers, hint: "server_name"},
		{name: "wrong name", shape: serverShape([]string{"db.example"}), ca: l.Servers, serverName: "other.example", hint: "server_name"},
		{name: "IP as DNS name", shape: serverShape([]string{"127.0.0.1"}), ca: l.Servers, hint: ""},
		{name: "common name alone", shape: serverShape(nil), ca: l.Servers, serverName: "localhost", hint: "subjectAltName"},
		{name: "wrong CA", shape: serverShape([]string{"localhost"}, loopback), ca: l.Clients, hint: "ca_file"},
		{name: "expired", shape: expired(serverShape(nil, loopback)), ca: l.Servers},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := l.withServer(t, tt.shape, tt.ca)
			cfg := l.config(server.Addr)
			cfg.ServerName = tt.serverName
			if tt.ok {
				l.dial(cfg, login)
				return
			}
			if e := l.refusal(cfg, "08006", ReasonTLS); !strings.Contains(e.Hint(), tt.hint) {
				t.Errorf("hint %q, want it to name %q; error %v", e.Hint(), tt.hint, e)
			}
		})
	}
}

func expired(s pki.Shape) pki.Shape {
	s.NotBefore, s.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	return s
}

// T69: without CAs nothing is trusted, the system's CAs least of all.
func TestT69NoRoots(t *testing.T) {
	l := newLab(t)
	server := l.fake(welcome)
	cfg := l.config(server.Addr)
	cfg.RootCAs = func() *x509.CertPool { return nil }
	l.refusal(cfg, "08006", ReasonTLS)
}

// T71: a server that does not ask for our certificate did not authenticate us by it.
func TestT71CertificateNotAsked(t *testing.T) {
	l := newLab(t)
	config := l.serverTLS()
	config.ClientAuth = tls.NoClientCert
	server := fakepg.Start(t, fakepg.Options{TLS: config}, func(c *fakepg.Conn) { t.Error("a start-up packet was sent") })
	e := l.refusal(l.config(server.Addr), "08004", ReasonUnproven)
	if !strings.Contains(e.Error(), "ssl_ca_file") {
		t.Errorf("got %v, want what to set", e)
	}
}

// T71: on PostgreSQL 16 and later system_user must say cert.
func TestT71SystemUser(t *testing.T) {
	l := newLab(t)
	for _, tt := range []struct {
		version, row string
		ok           bool
	}{
		{"16.4 (Debian)", "D=cert:CN=broker", true},
		{"18beta1", "D=cert:CN=broker", true},
		{"16.4", "D=", false},
		{"16.4", "D=trust", false},
		{"17.1", "D=scram-sha-256:app", false},
		{"17.1", "D=certificate:x", false},
		{"17.1", "", false}, // no row
		{"15.9", "not asked", true},
	} {
		t.Run(tt.version+" "+tt.row, func(t *testing.T) {
			server := l.fake(func(c *fakepg.Conn) {
				c.Login(fakepg.Login{Override: params("server_version", tt.version)})
				if tt.row != "not asked" {
					c.ExpectQuery("SELECT system_user")
					c.Reply("T " + tt.row + " C ZI")
				}
				c.AwaitClose()
			})
			if tt.ok {
				l.dial(l.config(server.Addr), login)
				return
			}
			if _, err := l.upstream(l.config(server.Addr)).Dial(t.Context(), login); err == nil {
				t.Error("logged in")
			}
		})
	}
}

// T71: it is asked for logical replication, too, which may have a pg_hba.conf line of its own.
func TestT71SystemUserOfReplication(t *testing.T) {
	l := newLab(t)
	server := l.fake(func(c *fakepg.Conn) {
		c.Login(fakepg.Login{Override: params("server_version", "16.4")})
		c.ExpectQuery("SELECT system_user")
		c.Reply("T D= C ZI")
		c.AwaitClose()
	})
	logical := login
	logical.Replication = "database"
	if c, err := l.upstream(l.config(server.Addr)).Dial(t.Context(), logical); err == nil {
		c.Close()
		t.Error("logged in by a trust line")
	}
}

// T71: no resumption, though the server offers tickets.
func TestT71NoResumption(t *testing.T) {
	l := newLab(t)
	var resumed atomic.Bool
	server := l.fake(func(c *fakepg.Conn) {
		if c.TLS.ConnectionState().DidResume {
			resumed.Store(true)
		}
		welcome(c)
	})
	u := l.upstream(l.config(server.Addr))
	for range 3 {
		c, err := u.Dial(t.Context(), login)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	if resumed.Load() {
		t.Error("a TLS session was resumed")
	}
}

// T69, T83: SNI and ALPN are sent; TLS 1.2 with forward secrecy at least.
func TestHello(t *testing.T) {
	l := newLab(t)
	config := l.serverTLS("db.example")
	var hello atomic.Pointer[tls.ClientHelloInfo]
	config.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		hello.Store(h)
		return nil, nil
	}
	server := fakepg.Start(t, fakepg.Options{TLS: config}, welcome)
	cfg := l.config(server.Addr)
	cfg.ServerName = "db.example"
	l.dial(cfg, login)
	h := hello.Load()
	if h.ServerName != "db.example" || len(h.SupportedProtos) != 1 || h.SupportedProtos[0] != "postgresql" {
		t.Errorf("SNI %q, ALPN %v", h.ServerName, h.SupportedProtos)
	}
	for _, v := range h.SupportedVersions {
		if v < tls.VersionTLS12 {
			t.Errorf("offers TLS version %x", v)
		}
	}
}

func TestTLS12(t *testing.T) {
	l := newLab(t)
	config := l.serverTLS()
	config.MaxVersion = tls.VersionTLS12
	l.dial(l.config(fakepg.Start(t, fakepg.Options{TLS: config}, welcome).Addr), login)
	config = l.serverTLS()
	config.MaxVersion = tls.VersionTLS11
	config.MinVersion = tls.VersionTLS10
	l.refusal(l.config(fakepg.Start(t, fakepg.Options{TLS: config}, welcome).Addr), "08006", ReasonTLS)
}

// negotiation = "direct": no SSLRequest, and ALPN is required.
func TestDirect(t *testing.T) {
	l := newLab(t)
	server := fakepg.Start(t, fakepg.Options{TLS: l.serverTLS(), SSLAnswer: []byte("N")}, welcome)
	cfg := l.config(server.Addr)
	cfg.Negotiation = NegotiateDirect
	c := l.dial(cfg, login)
	if got := c.Net.ConnectionState().NegotiatedProtocol; got != "postgresql" {
		t.Errorf("ALPN %q", got)
	}

	listener, err := tls.Listen("tcp", "127.0.0.1:0", l.serverTLS()) // without ALPN
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.(*tls.Conn).Handshake()
		_, _ = conn.Read(make([]byte, 1))
	}()
	cfg.Hosts = []string{listener.Addr().String()}
	if e := l.refusal(cfg, "08006", ReasonTLS); !strings.Contains(e.Error(), "ALPN") {
		t.Errorf("got %v", e)
	}
	<-done
}

// A server that does not accept our certificate says so by a TLS alert: within the handshake in TLS
// 1.2, after our side of it in TLS 1.3.
func TestServerRejectsCertificate(t *testing.T) {
	l := newLab(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := l.serverTLS()
		config.ClientCAs, config.MinVersion, config.MaxVersion = l.Clients.Pool(), version, version
		server := fakepg.Start(t, fakepg.Options{TLS: config}, func(c *fakepg.Conn) { t.Error("let in") })
		e := l.refusal(l.config(server.Addr), "08004", ReasonRefused)
		if !strings.Contains(e.Error(), "does not accept our certificate") {
			t.Errorf("got %v", e)
		}
	}
}
