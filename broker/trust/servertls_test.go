package trust

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// handshake connects over loopback and returns both sides' states. The server writes a byte, so that
// a TLS 1.3 client reads its session ticket.
func handshake(t testing.TB, server, client *tls.Config) (srv, cli tls.ConnectionState, err error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	type result struct {
		state tls.ConnectionState
		err   error
	}
	done := make(chan result, 1)
	go func() {
		raw, err := ln.Accept()
		if err != nil {
			done <- result{err: err}
			return
		}
		defer raw.Close()
		conn := tls.Server(raw, server)
		err = conn.Handshake()
		if err == nil {
			_, err = conn.Write([]byte{'R'})
		}
		done <- result{conn.ConnectionState(), err}
		io.Copy(io.Discard, conn)
	}()
	dialer := &tls.Dialer{Config: client}
	conn, dialErr := dialer.DialContext(context.Background(), "tcp", ln.Addr().String())
	if dialErr == nil {
		defer conn.Close()
		_, dialErr = io.ReadFull(conn, make([]byte, 1))
		cli = conn.(*tls.Conn).ConnectionState()
	}
	r := <-done
	return r.state, cli, errors.Join(r.err, dialErr)
}

// clientTLS presents the leaf and trusts the servers' CA.
func (f *fixture) clientTLS(l *pki.Leaf) *tls.Config {
	cfg := &tls.Config{RootCAs: f.Servers.Pool(), ServerName: "localhost", NextProtos: []string{"postgresql"}}
	if l != nil {
		cfg.Certificates = []tls.Certificate{l.TLS()}
	}
	return cfg
}

// TestServerTLS: what every listener offers (T31, T33, T83, T85, T87).
func TestServerTLS(t *testing.T) {
	f := newFixture(t)
	cfg := f.load(nil).ServerTLS()
	if cfg.ClientAuth != tls.RequestClientCert || !cfg.SessionTicketsDisabled || !cfg.DynamicRecordSizingDisabled ||
		cfg.MinVersion != tls.VersionTLS12 || cfg.KeyLogWriter != nil || cfg.GetConfigForClient != nil {
		t.Errorf("config %+v", cfg)
	}
	alice := f.Client("alice")
	srv, _, err := handshake(t, cfg, f.clientTLS(alice))
	if err != nil || len(srv.PeerCertificates) != 1 || srv.NegotiatedProtocol != "postgresql" {
		t.Fatalf("%v, %+v", err, srv)
	}
	if srv.CurveID != tls.X25519MLKEM768 {
		t.Errorf("key exchange %v, want X25519MLKEM768", srv.CurveID)
	}
	// A client without a certificate, or of a stranger, ends the handshake, too: it is told why later.
	if srv, _, err = handshake(t, cfg, f.clientTLS(nil)); err != nil || len(srv.PeerCertificates) != 0 {
		t.Errorf("without a certificate: %v", err)
	}
	names := f.clientTLS(nil)
	names.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if len(info.AcceptableCAs) != 1 || string(info.AcceptableCAs[0]) != string(f.Clients.X509.RawSubject) {
			t.Errorf("CA names %q", info.AcceptableCAs)
		}
		c := alice.TLS()
		return &c, nil
	}
	if _, _, err := handshake(t, cfg, names); err != nil {
		t.Error(err)
	}
}

// TestA15Versions: TLS 1.2 from the suites of T83, nothing older; min_tls; ALPN of others refused.
func TestA15Versions(t *testing.T) {
	f := newFixture(t)
	cfg := f.load(nil).ServerTLS()
	alice := f.Client("alice")
	for _, tt := range []struct {
		name   string
		change func(*tls.Config)
		ok     bool
	}{
		{"TLS 1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, false},
		{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, true},
		{"TLS 1.2 CBC", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}, false},
		{"TLS 1.2 ChaCha20", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
		}, true},
		{"h2", func(c *tls.Config) { c.NextProtos = []string{"h2"} }, false},
		{"no ALPN", func(c *tls.Config) { c.NextProtos = nil }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := f.clientTLS(alice)
			tt.change(c)
			if _, _, err := handshake(t, cfg, c); (err == nil) != tt.ok {
				t.Errorf("error %v, want success %t", err, tt.ok)
			}
		})
	}
	f.cfg.MinTLS = tls.VersionTLS13
	c := f.clientTLS(alice)
	c.MaxVersion = tls.VersionTLS12
	if _, _, err := handshake(t, f.load(nil).ServerTLS(), c); err == nil {
		t.Error("TLS 1.2 in spite of min_tls 1.3")
	}
}

// resume connects twice with one session cache and reports whether the second was a resumption.
func resume(t *testing.T, first, second *tls.Config, client *tls.Config) (bool, tls.ConnectionState) {
	t.Helper()
	client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	if _, _, err := handshake(t, first, client); err != nil {
		t.Fatal(err)
	}
	srv, _, err := handshake(t, second, client)
	if err != nil {
		t.Fatal(err)
	}
	return srv.DidResume, srv
}

// anyName is a session cache that hands out its one session whatever server it is for.
type anyName struct{ held *tls.ClientSessionState }

func (c *anyName) Get(string) (*tls.ClientSessionState, bool)    { return c.held, c.held != nil }
func (c *anyName) Put(_ string, session *tls.ClientSessionState) { c.held = session }

// resumeAs is resume by a client that asks for two names and presents the first one's ticket to the second.
func resumeAs(t *testing.T, server, client *tls.Config, names ...string) (resumed bool, srv tls.ConnectionState) {
	t.Helper()
	client.ClientSessionCache, client.InsecureSkipVerify = &anyName{}, true
	for _, client.ServerName = range names {
		var err error
		if srv, _, err = handshake(t, server, client); err != nil {
			t.Fatal(err)
		}
	}
	return srv.DidResume, srv
}

// TestA21Tickets: none by default; where a listener offers them, none of another key, listener or
// set of CAs is taken, and a resumed session is verified anew (T33).
func TestA21Tickets(t *testing.T) {
	f := newFixture(t)
	alice := f.Client("alice")
	plain := f.load(nil).ServerTLS()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := func() *tls.Config { c := f.clientTLS(alice); c.MaxVersion = version; return c }
		if yes, _ := resume(t, plain, plain, client()); yes {
			t.Error("resumed although tickets are off")
		}
		g := *f
		g.cfg.SessionTickets = true
		s := g.load(nil)
		resumed, srv := resume(t, s.ServerTLS(), s.ServerTLS(), client())
		if !resumed || len(srv.PeerCertificates) != 1 {
			t.Errorf("version %x: resumed %t with %d certificates", version, resumed, len(srv.PeerCertificates))
		}
		if resumed, _ := resume(t, s.ServerTLS(), g.load(s).ServerTLS(), client()); !resumed {
			t.Error("a reload of the same CAs ended resumption")
		}
		if resumed, _ := resume(t, s.ServerTLS(), g.load(nil).ServerTLS(), client()); resumed {
			t.Error("resumed with another replica's keys")
		}
		other := g
		other.cfg.Listener = "other"
		if resumed, _ := resume(t, s.ServerTLS(), other.load(s).ServerTLS(), client()); resumed {
			t.Error("resumed at another listener")
		}
		if resumed, _ := resumeAs(t, s.ServerTLS(), client(), "localhost", "localhost"); !resumed {
			t.Error("not resumed under its own name")
		}
		if resumed, _ := resumeAs(t, s.ServerTLS(), client(), "localhost", "db.example.com"); resumed {
			t.Error("resumed under another name")
		}
		cas := g
		cas.cfg.ClientCA = append(slices.Clone(cas.cfg.ClientCA), f.WriteCA(f.Root(pki.Shape{CN: "New"}), "new"))
		if resumed, _ := resume(t, s.ServerTLS(), cas.load(s).ServerTLS(), client()); resumed {
			t.Error("resumed under another set of CAs")
		}
	}
}

// TestResumedIsVerified: between two resumptions the certificate is revoked, or its CA removed.
func TestResumedIsVerified(t *testing.T) {
	f := newCRLFixture(t)
	f.cfg.SessionTickets = true
	f.cfg.CRL = []string{f.crl(f.Clients, "a.crl", pki.CRLShape{})}
	s := f.load(nil)
	client := f.clientTLS(nil)
	cert := f.alice.TLS()
	client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil } // whatever CAs are asked for
	resumed, srv := resume(t, s.ServerTLS(), s.ServerTLS(), client)
	if !resumed {
		t.Fatal("not resumed")
	}
	yes.check(t, s, srv.PeerCertificates, time.Now())
	list := revoke(f.alice)
	list.Number = big.NewInt(2)
	f.crl(f.Clients, "a.crl", list)
	s = f.load(s)
	srv, _, err := handshake(t, s.ServerTLS(), client)
	if err != nil || !srv.DidResume {
		t.Fatalf("%v, resumed %t", err, srv.DidResume)
	}
	no(RevokedCRL).check(t, s, srv.PeerCertificates, time.Now())

	other := f.Root(pki.Shape{CN: "Other"})
	f.cfg.CRL, f.cfg.ClientCA = nil, []string{f.WriteCA(other, "other")}
	s = f.load(s)
	srv, _, err = handshake(t, s.ServerTLS(), client)
	if err != nil || srv.DidResume {
		t.Fatalf("%v, resumed %t under other CAs", err, srv.DidResume)
	}
	no(UnknownCA).check(t, s, srv.PeerCertificates, time.Now())
}

// TestTicketRotation: keys change every hour and open tickets for two.
func TestTicketRotation(t *testing.T) {
	now := time.Now()
	keys := &ticketKeys{clock: func() time.Time { return now }}
	seal := func() []byte {
		ticket, err := keys.seal([]byte("state"), []byte("bound"))
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	opens := func(ticket []byte) bool {
		plain, err := keys.open(ticket, []byte("bound"))
		return err == nil && string(plain) == "state"
	}
	old := seal()
	for minutes, want := range map[int]bool{0: true, 59: true, 119: true} {
		now = now.Add(time.Duration(minutes) * time.Minute)
		if opens(old) != want {
			t.Errorf("after %d minutes: opens %t", minutes, !want)
		}
		now = now.Add(-time.Duration(minutes) * time.Minute)
	}
	now = now.Add(ticketRotation)
	if fresh := seal(); fresh[0] == old[0] || !opens(fresh) || !opens(old) {
		t.Error("no new key after an hour, or the old one is gone")
	}
	now = now.Add(ticketRotation)
	if opens(old) {
		t.Error("a key opens tickets after two hours")
	}
	if _, err := keys.open(seal(), []byte("elsewhere")); err == nil {
		t.Error("a ticket opened where it was not issued")
	}
	for _, junk := range [][]byte{nil, {0}, {1, 2, 3}} {
		if opens(junk) {
			t.Errorf("junk %v opened", junk)
		}
	}
}

// TestStapleOwn: our certificate's status is stapled when its issuer offers OCSP.
func TestStapleOwn(t *testing.T) {
	f := newOCSPFixture(t)
	f.cfg.OCSP, f.cfg.OCSPStaple = ocspOffMode, true
	shape := pki.ServerShape()
	shape.Ext = []pki.Extension{pki.OCSPServer(f.responder.URL)}
	sub := f.Intermediate(f.Servers, pki.Shape{CN: "Servers Sub"})
	f.alice = f.Issue(sub, shape)
	f.cfg.CertFile, f.cfg.KeyFile = f.WriteLeaf(f.alice, "stapled")
	good := f.about(sub, pki.OCSPShape{})
	f.responder.says(good)
	w := f.watch(byEvent)
	var got []byte
	for len(got) == 0 {
		_, cli, err := handshake(t, w.Current().ServerTLS(), f.clientTLS(nil))
		if err != nil {
			t.Fatal(err)
		}
		got = cli.OCSPResponse
	}
	if string(got) != string(good) {
		t.Error("stapled something else")
	}
	again, err := w.Prepare(w.Current().cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.Install(again)
	if _, cli, err := handshake(t, w.Current().ServerTLS(), f.clientTLS(nil)); err != nil || string(cli.OCSPResponse) != string(good) {
		t.Errorf("after a reload: %v, %d bytes stapled", err, len(cli.OCSPResponse))
	}
	t.Run("never a bad one", func(t *testing.T) {
		s := f.load(nil)
		f.responder.says(f.about(sub, pki.OCSPShape{Status: pki.OCSPRevoked}))
		if err := s.stapler.refresh(t.Context(), s.ocsp); !errors.Is(err, errOwnRevoked) {
			t.Errorf("refresh: %v", err)
		}
		s = f.load(nil)
		f.responder.says(f.about(f.Clients, pki.OCSPShape{}))
		if err := s.stapler.refresh(t.Context(), s.ocsp); err == nil {
			t.Error("a response by another CA was taken")
		}
		if s.certificate().OCSPStaple != nil {
			t.Error("stapled")
		}
	})
	t.Run("issuer unknown", func(t *testing.T) {
		f.cfg.CertFile = f.write("alone.crt", f.alice.CertPEM())
		if s := f.load(nil); s.stapler != nil || !slices.Contains(kinds(s), "staple_no_issuer") {
			t.Errorf("notices %v, want staple_no_issuer", kinds(s))
		}
	})
}

// TestFIPS runs the package's main paths in FIPS 140-3 mode, in a process of its own.
func TestFIPS(t *testing.T) {
	if os.Getenv("GODEBUG") == "fips140=on" {
		t.Skip("this is that process")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^(TestServerTLS|TestA21Tickets|TestA31UnknownCA|TestA55KeysAndSerials|TestA56RevokedLeaf|TestA66OCSP)$")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=on")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}
