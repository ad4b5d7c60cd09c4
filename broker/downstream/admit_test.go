package downstream_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/semaphore"

	"github.com/pgsignet/pgsignet/broker/downstream"
	"github.com/pgsignet/pgsignet/pgwire"
)

// W1, W3: every order of requests that PostgreSQL answers.
func TestAdmit(t *testing.T) {
	d := open(t, nil, nil)
	for _, tt := range []struct {
		name   string
		dial   func() *peer
		direct bool
	}{
		{"SSLRequest", d.secure, false},
		{"direct TLS", d.direct, true},
		{"GSSENCRequest, SSLRequest", func() *peer {
			return d.dial().send(gssRequest).expect("N").send(sslRequest).expect("S").mustEncrypt(d.clientTLS())
		}, false},
		{"SSLRequest inside direct TLS", func() *peer { return d.direct().send(sslRequest).expect("N") }, true},
		{"GSSENCRequest inside direct TLS", func() *peer { return d.direct().send(gssRequest).expect("N") }, true},
		{"both inside direct TLS", func() *peer {
			return d.direct().send(gssRequest).expect("N").send(sslRequest).expect("N")
		}, true},
		{"requests byte by byte", func() *peer {
			p := d.dial()
			for _, b := range sslRequest {
				p.send([]byte{b})
			}
			return p.expect("S").mustEncrypt(d.clientTLS())
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.dial()
			for _, b := range login {
				p.send([]byte{b})
			}
			c := d.admitted()
			want := &pgwire.Startup{Requested: pgwire.V30, Version: pgwire.V30,
				Params: []pgwire.Param{{Name: "user", Value: "al"}, {Name: "database", Value: "db"}}}
			if diff := cmp.Diff(want, c.Startup); diff != "" {
				t.Error(diff)
			}
			if c.DirectTLS != tt.direct || c.Listener != "main" || c.TLSTime <= 0 {
				t.Errorf("direct %v, listener %q, TLS %v", c.DirectTLS, c.Listener, c.TLSTime)
			}
			if got := c.TLS.PeerCertificates; len(got) == 0 || !got[0].Equal(d.leaf.X509) {
				t.Errorf("presented %d certificates", len(got))
			}
			if c.Addr.String() != p.LocalAddr().String() || c.Proxy.IsValid() {
				t.Errorf("from %s by %s, want %s", c.Addr, c.Proxy, p.LocalAddr())
			}
		})
	}
}

// Admission over, its deadlines are gone and bytes behind the start-up packet are still there.
func TestAdmittedConnIsWhole(t *testing.T) {
	var raw *deadlines // written before, read after the outcome is received
	d := open(t, nil, func(c net.Conn) net.Conn {
		raw = &deadlines{TCPConn: c.(*net.TCPConn)}
		return raw
	})
	p := d.secure()
	p.send(login, []byte("Q\x00\x00\x00\x05\x00"))
	c := d.admitted()
	if !raw.read.IsZero() || !raw.write.IsZero() {
		t.Errorf("deadlines %v and %v are left", raw.read, raw.write)
	}
	got := make([]byte, 6)
	if _, err := io.ReadFull(c.Conn, got); err != nil || string(got) != "Q\x00\x00\x00\x05\x00" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := c.Conn.Write([]byte("answer")); err != nil {
		t.Error(err)
	}
	p.expect("answer")
	if left := time.Until(raw.write); left <= 0 || left > patience {
		t.Errorf("deadline of the write in %v", left)
	}
}

// deadlines remembers those last set.
type deadlines struct {
	*net.TCPConn
	read, write time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = t
	return d.TCPConn.SetReadDeadline(t)
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = t
	return d.TCPConn.SetWriteDeadline(t)
}

func TestAdmitStartupErrors(t *testing.T) {
	d := open(t, nil, nil)
	for _, tt := range []struct {
		name, sqlstate, reason string
		in                     []byte
	}{
		{"version 2", "0A000", "protocol", packet(2<<16, "user\x00al\x00\x00")}, // W6, A110
		{"layout", "08P01", "protocol", packet(3<<16, "user\x00al\x00")},        // W4
		{"no user", "28000", "protocol", startup("database", "db")},
		{"user twice", "08P01", "protocol", startup("user", "al", "user", "bo")}, // T94
		{"replication", "22023", "protocol", startup("user", "al", "replication", "x")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := d.secure().send(tt.in)
			p.expectError(tt.sqlstate)
			e := d.refused(downstream.StageStartup, tt.reason)
			if e.TLS == nil || e.Answer == nil || e.Probe {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// W5: connections that say nothing are no errors.
func TestProbe(t *testing.T) {
	d := open(t, nil, nil)
	_ = d.dial().Close()
	if e := d.refused(downstream.StageStartup, "protocol"); !e.Probe || e.Answer != nil {
		t.Errorf("EOF: got %+v", e)
	}
	p := d.dial()
	_ = p.Conn.(*net.TCPConn).SetLinger(0)
	_ = p.Close()
	if e := d.refused(downstream.StageStartup, "protocol"); !e.Probe {
		t.Errorf("reset: got %+v", e)
	}
	_ = d.dial().send([]byte{0}).Close()
	if e := d.refused(downstream.StageStartup, "protocol"); e.Probe {
		t.Errorf("one byte: got %+v", e)
	}
	_ = d.secure().Close()
	if e := d.refused(downstream.StageStartup, "protocol"); e.Probe || e.TLS == nil {
		t.Errorf("TLS and nothing else: got %+v", e)
	}
}

// W72: cancel requests before TLS and inside it, of both lengths.
func TestCancel(t *testing.T) {
	d := open(t, nil, nil)
	long := packet(80877102, "\x00\x00\x04\xd2"+string(make([]byte, 32)))
	for _, tt := range []struct {
		name   string
		dial   func() *peer
		in     []byte
		secret string
		tls    bool
	}{
		{"plaintext", d.dial, cancelRequest, "abcd", false},
		{"behind N", func() *peer { return d.dial().send(gssRequest).expect("N") }, cancelRequest, "abcd", false},
		{"TLS", d.secure, cancelRequest, "abcd", true},
		{"direct TLS", d.direct, cancelRequest, "abcd", true},
		{"3.2", d.direct, long, string(make([]byte, 32)), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.dial().send(tt.in)
			o := d.next()
			if o.cancel == nil || o.client != nil || o.err != nil {
				t.Fatalf("got %+v", o)
			}
			if o.cancel.Key.PID != 1234 || string(o.cancel.Key.Secret) != tt.secret {
				t.Errorf("got pid %d, secret %q", o.cancel.Key.PID, o.cancel.Key.Secret)
			}
			if (o.cancel.TLS != nil) != tt.tls || o.cancel.Addr.String() != p.LocalAddr().String() {
				t.Errorf("got TLS %v, from %s", o.cancel.TLS != nil, o.cancel.Addr)
			}
			_ = o.cancel.Conn.Close()
			p.expectClosed()
		})
	}
}

func TestPlaintextCancelRefused(t *testing.T) {
	d := open(t, func(c *downstream.Config) { c.PlaintextCancel = false }, nil)
	d.dial().send(cancelRequest).expectClosed()
	if e := d.refused(downstream.StageStartup, "no_tls"); e.Answer != nil {
		t.Errorf("answered %v", e.Answer)
	}
	d.secure().send(cancelRequest)
	if o := d.next(); o.cancel == nil {
		t.Errorf("inside TLS: got %+v", o)
	}
}

// slots are given to whoever asks first.
type slots struct{ *semaphore.Weighted }

func (s slots) Acquire(ctx context.Context, _ netip.Addr, _ bool) (bool, error) {
	return false, s.Weighted.Acquire(ctx, 1)
}
func (s slots) Release(downstream.Use, time.Duration) { s.Weighted.Release(1) }
func (s slots) Proven(netip.Addr)                     {}

// T86: the cap on handshakes counts those that compute. Clients that stall hold no slot.
func TestHandshakesCap(t *testing.T) {
	slots := slots{semaphore.NewWeighted(1)}
	d := open(t, func(c *downstream.Config) { c.Handshakes = slots }, nil)
	hello := clientHello(t, d.clientTLS())
	silent := d.dial()
	begun := d.dial().send(hello[:1])
	half := d.dial().send(hello[:len(hello)/2])
	answered := d.dial().send(hello)
	if _, err := io.ReadFull(answered, make([]byte, 5)); err != nil { // it holds the server's flight
		t.Fatal(err)
	}
	d.secure().send(login)
	d.admitted()
	for _, p := range []*peer{silent, begun, half, answered} {
		_ = p.Close()
		if o := d.next(); o.err == nil {
			t.Errorf("got %+v", o)
		}
	}
	if !slots.TryAcquire(1) {
		t.Error("a slot is still held")
	}
}

// crowded is a crowd whose handshakes wait for the word.
type crowded struct {
	slots
	waits, word chan struct{}
	began       atomic.Bool
}

func (c *crowded) Acquire(context.Context, netip.Addr, bool) (bool, error) {
	c.waits <- struct{}{}
	<-c.word
	return true, nil
}

func (c *crowded) Release(use downstream.Use, _ time.Duration) {
	if use == downstream.Began {
		c.began.Store(true)
	}
}

// In a crowd a client that has left while it waited is not answered, and others are.
func TestHandshakesOfThoseWhoLeft(t *testing.T) {
	c := &crowded{waits: make(chan struct{}), word: make(chan struct{})}
	d := open(t, func(cfg *downstream.Config) { cfg.Handshakes = c }, nil)
	p := d.dial().send(clientHello(t, d.clientTLS()))
	<-c.waits
	_ = p.Close()
	c.word <- struct{}{}
	if o := d.next(); o.err == nil || c.began.Load() {
		t.Errorf("got %+v; its handshake was begun: %v", o, c.began.Load())
	}
	stop := make(chan struct{})
	var gate sync.WaitGroup
	gate.Go(func() {
		for {
			select {
			case <-c.waits:
				c.word <- struct{}{}
			case <-stop:
				return
			}
		}
	})
	d.direct().send(login)
	d.admitted()
	close(stop)
	gate.Wait()
	if !c.began.Load() {
		t.Error("a handshake that was admitted had not begun")
	}
}

func TestHandshakesCapQueues(t *testing.T) {
	t.Parallel()
	slots := slots{semaphore.NewWeighted(1)}
	if !slots.TryAcquire(1) {
		t.Fatal("no slot")
	}
	hello := clientHello(t, open(t, nil, nil).clientTLS())
	d := open(t, func(c *downstream.Config) {
		c.Handshakes = slots
		c.HandshakeTimeout = 2 * time.Second // in which the first bytes come, on any machine
	}, nil)
	d.dial().send(hello).expectClosed()
	d.refused(downstream.StageTLS, "startup_timeout")
	slots.Weighted.Release(1)
	d = open(t, func(c *downstream.Config) { c.Handshakes = slots }, nil)
	d.direct().send(login)
	d.admitted()
}

// Admit ends with its context and says so.
func TestAdmitShutdown(t *testing.T) {
	ours, theirs := pair(t)
	ctx, stop := context.WithCancelCause(context.Background())
	because := errors.New("the power is off")
	done := make(chan error)
	go func() {
		_, _, err := downstream.Admit(ctx, ours, &downstream.Config{})
		done <- err
	}()
	stop(because)
	e, ok := errors.AsType[*downstream.AdmitError](<-done)
	if !ok || e.Reason != "shutdown" || !errors.Is(e, because) {
		t.Errorf("got %v", e)
	}
	_ = e.Conn.Close()
	_ = theirs.Close()
}

// A123: a client that comes by IPv6 as ::ffff:127.0.0.1 is 127.0.0.1.
func TestA123Unmapped(t *testing.T) {
	d := open(t, nil, func(c net.Conn) net.Conn { return mapped{c.(*net.TCPConn)} })
	d.direct().send(login)
	if c := d.admitted(); c.Addr.Addr() != netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
		t.Errorf("from %s", c.Addr)
	}
}

type mapped struct{ *net.TCPConn }

func (m mapped) RemoteAddr() net.Addr {
	a := *m.TCPConn.RemoteAddr().(*net.TCPAddr)
	a.IP = a.IP.To16()
	return &a
}

// A local socket needs no TLS and is offered none.
func TestAdmitLocal(t *testing.T) {
	for _, tt := range []struct {
		name     string
		requests bool
	}{{"start-up alone", false}, {"both requests first", true}} {
		t.Run(tt.name, func(t *testing.T) {
			ours, theirs := unixPair(t)
			p := &peer{t, theirs}
			type result struct {
				c   *downstream.Client
				err error
			}
			done := make(chan result)
			go func() {
				c, _, err := downstream.AdmitLocal(context.Background(), ours, patience)
				done <- result{c, err}
			}()
			if tt.requests {
				p.send(sslRequest).expect("N").send(gssRequest).expect("N")
			}
			p.send(login)
			r := <-done
			if r.err != nil {
				t.Fatal(r.err)
			}
			if r.c.Startup.User() != "al" || r.c.TLS.HandshakeComplete || r.c.Addr.IsValid() {
				t.Errorf("got %+v", r.c)
			}
			if err := downstream.Welcome(r.c, nil, nil, nil); err != nil {
				t.Fatal(err)
			}
			p.expect("R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I")
			_ = r.c.Conn.Close()
		})
	}
}

func TestAdmitLocalRefuses(t *testing.T) {
	ours, theirs := unixPair(t)
	p := &peer{t, theirs}
	done := make(chan error)
	go func() {
		_, _, err := downstream.AdmitLocal(context.Background(), ours, patience)
		done <- err
	}()
	p.send(sslRequest).expect("N").send(sslRequest)
	e, ok := errors.AsType[*downstream.AdmitError](<-done)
	if !ok || e.Answer == nil || e.Answer.Code != "0A000" {
		t.Fatalf("got %v", e)
	}
	go func() { done <- downstream.Refuse(e.Conn, e.Answer, patience) }()
	p.expectError("0A000")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func unixPair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	return dialPair(t, "unix", filepath.Join(t.TempDir(), "s"))
}

func pair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	return dialPair(t, "tcp", "127.0.0.1:0")
}

func dialPair(t *testing.T, network, address string) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	theirs, err = net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	_ = theirs.SetDeadline(time.Now().Add(patience))
	ours, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// clientHello is the first flight of a client.
func clientHello(t *testing.T, config *tls.Config) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(theirs, config).Handshake()
	}()
	b := make([]byte, 16<<10)
	n, err := ours.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	_ = ours.Close()
	<-done
	return b[:n]
}
