package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/fakepg"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// W77: over TLS, to the connection's own address, with its key; W74: it returns after EOF.
func TestW77Cancel(t *testing.T) {
	l := newLab(t)
	arrived, held := make(chan bool, 1), make(chan struct{})
	server := fakepg.Start(t, fakepg.Options{
		TLS: l.serverTLS(),
		Cancel: func(c *fakepg.Conn, _ pgwire.CancelKey) {
			arrived <- c.TLS != nil && len(c.TLS.ConnectionState().PeerCertificates) > 0
			<-held
		},
	}, func(c *fakepg.Conn) {
		c.Login(fakepg.Login{PID: 12, Secret: []byte("0123456789abcdef")})
		c.AwaitClose()
	})
	u := l.upstream(l.config(server.Addr))
	c, err := u.Dial(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	done := make(chan error, 1)
	go func() { done <- c.Cancel(t.Context()) }()
	if !<-arrived {
		t.Error("the cancel came without TLS or without our certificate")
	}
	select {
	case err := <-done:
		t.Fatalf("Cancel returned before the server closed: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(held)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := server.Cancels(); len(got) != 1 || got[0].PID != 12 || string(got[0].Secret) != "0123456789abcdef" {
		t.Errorf("got %v", got)
	}
}

func TestCancelDirect(t *testing.T) {
	l := newLab(t)
	server := l.fake(welcome)
	cfg := l.config(server.Addr)
	cfg.Negotiation = NegotiateDirect
	if err := l.dial(cfg, login).Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(server.Cancels()); n != 1 {
		t.Errorf("%d cancels, want 1", n)
	}
}

// The caller bounds a cancel: a server that holds the connection does not hold the broker.
func TestCancelEndsWithContext(t *testing.T) {
	l := newLab(t)
	server := fakepg.Start(t, fakepg.Options{
		TLS:    l.serverTLS(),
		Cancel: func(c *fakepg.Conn, _ pgwire.CancelKey) { c.AwaitClose() },
	}, welcome)
	c := l.dial(l.config(server.Addr), login)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("cancel deadline"))
	defer cancel()
	if err := c.Cancel(ctx); !errors.Is(err, context.Cause(ctx)) {
		t.Errorf("got %v, want %v", err, context.Cause(ctx))
	}
}

// A server that talks without end on the cancel connection is left.
func TestCancelIsBounded(t *testing.T) {
	l := newLab(t)
	server := fakepg.Start(t, fakepg.Options{
		TLS: l.serverTLS(),
		Cancel: func(c *fakepg.Conn, _ pgwire.CancelKey) {
			for {
				c.Write(make([]byte, 64<<10))
			}
		},
	}, welcome)
	if err := l.dial(l.config(server.Addr), login).Cancel(t.Context()); err == nil {
		t.Error("no error")
	}
}

// W74: a reset of the cancel connection does not say that the server has acted upon it: the request may come late, and
// would hit whoever uses the connection next.
func TestCancelReset(t *testing.T) {
	l := newLab(t)
	server := fakepg.Start(t, fakepg.Options{
		TLS:    l.serverTLS(),
		Cancel: func(c *fakepg.Conn, _ pgwire.CancelKey) { c.Reset() },
	}, welcome)
	if err := l.dial(l.config(server.Addr), login).Cancel(t.Context()); err == nil {
		t.Error("a reset counts as the server's answer")
	}
}

// W9: without BackendKeyData there is no cancel, and no zero-length key.
func TestW9NoKey(t *testing.T) {
	l := newLab(t)
	server := l.fake(func(c *fakepg.Conn) {
		c.Login(fakepg.Login{NoKey: true})
		c.AwaitClose()
	})
	c := l.dial(l.config(server.Addr), login)
	if err := c.Cancel(t.Context()); !errors.Is(err, ErrNoKey) || c.Secret != nil || c.PID != 0 {
		t.Errorf("got %v, key %v of pid %d", err, c.Secret, c.PID)
	}
}

// Close ends a reader and a writer that is stuck.
func TestCloseUnderUse(t *testing.T) {
	l := newLab(t)
	reading := make(chan struct{})
	server := l.fake(func(c *fakepg.Conn) {
		c.Login(fakepg.Login{})
		c.ExpectQuery("stop reading")
		close(reading)
		<-t.Context().Done()
	})
	c, err := l.upstream(l.config(server.Addr)).Dial(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() {
		_, err := c.Net.Read(make([]byte, 1))
		ended <- err
	}()
	go func() {
		b := fakepg.Query("stop reading")
		for {
			if _, err := c.Net.Write(b); err != nil {
				ended <- err
				return
			}
			b = make([]byte, 1<<20)
		}
	}()
	<-reading
	start := time.Now()
	c.Close()
	if took := time.Since(start); took > 10*closeTimeout {
		t.Errorf("Close took %v", took)
	}
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("no error")
		}
	}
}

// A session outlives its certificate; its cancel shows the one in force (T77). When there is none, an
// old one that is still valid, else none at all.
func TestCancelAfterRotation(t *testing.T) {
	l := newLab(t)
	serials := make(chan string, 1)
	config := l.serverTLS()
	config.ClientAuth = tls.RequestClientCert
	server := fakepg.Start(t, fakepg.Options{
		TLS: config,
		Cancel: func(c *fakepg.Conn, _ pgwire.CancelKey) {
			if certs := c.TLS.ConnectionState().PeerCertificates; len(certs) > 0 {
				serials <- certs[0].SerialNumber.Text(16)
			} else {
				serials <- "none"
			}
		},
	}, welcome)
	certificate := func(life time.Duration) *tls.Certificate {
		return withLeaf(t, l.Issue(l.Broker, pki.Shape{CN: "broker", NotAfter: time.Now().Add(life)}).TLS())
	}
	for _, tt := range []struct {
		name       string
		login, now *tls.Certificate
		want       func(login, now *tls.Certificate) string
	}{
		{"replaced", certificate(time.Hour), certificate(time.Hour), func(_, now *tls.Certificate) string { return serial(now) }},
		{"gone", certificate(time.Hour), nil, func(login, _ *tls.Certificate) string { return serial(login) }},
		{"gone and old over", certificate(-time.Second), nil, func(_, _ *tls.Certificate) string { return "none" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var current atomic.Pointer[tls.Certificate]
			current.Store(tt.login)
			cfg := l.config(server.Addr)
			cfg.Credential = Certificate{Load: current.Load}
			c := l.dial(cfg, login)
			current.Store(tt.now)
			if err := c.Cancel(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, want := <-serials, tt.want(tt.login, tt.now); got != want {
				t.Errorf("the cancel showed serial %s, want %s", got, want)
			}
		})
	}
}

func serial(c *tls.Certificate) string { return c.Leaf.SerialNumber.Text(16) }

// A cancel verifies the server as a login does.
func TestCancelVerifiesServer(t *testing.T) {
	l := newLab(t)
	config := l.serverTLS()
	var swap tls.Certificate
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &swap, nil }
	swap, config.Certificates = config.Certificates[0], nil
	server := fakepg.Start(t, fakepg.Options{TLS: config}, welcome)
	c := l.dial(l.config(server.Addr), login)
	swap = l.Issue(l.Clients, serverShape([]string{"localhost"})).TLS()
	if err := c.Cancel(t.Context()); err == nil {
		t.Error("the cancel key went to a server that does not verify")
	}
	if n := len(server.Cancels()); n != 0 {
		t.Errorf("%d cancels", n)
	}
}

// A panic over what a server sends to a cancel ends the cancel: it runs beside sessions.
func TestCancelSurvivesAPanic(t *testing.T) {
	c := &Conn{Addr: "192.0.2.1:5432", Secret: []byte("1234"), peerNow: func() *peer { panic("a bug") }}
	if err := c.Cancel(t.Context()); err == nil {
		t.Error("a cancel that panicked was delivered")
	}
}
