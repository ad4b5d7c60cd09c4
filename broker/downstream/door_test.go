package downstream_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/downstream"
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/poll"
)

func TestMain(m *testing.M) { os.Exit(poll.Main(m)) }

// patience bounds waits for what must happen; no test's outcome hangs on it.
const patience = time.Minute

// outcome is what Admit returned for one connection.
type outcome struct {
	client *downstream.Client
	cancel *downstream.Cancel
	err    error
}

// door is a listener on loopback that admits whoever comes, and does with refusals what the
// broker does.
type door struct {
	t        testing.TB
	cfg      *downstream.Config
	env      *pki.Env
	leaf     *pki.Leaf // a client's certificate
	addr     string
	outcomes chan outcome
}

// open starts a door; adjust may change its configuration, wrap what was accepted.
func open(t testing.TB, adjust func(*downstream.Config), wrap func(net.Conn) net.Conn) *door {
	t.Helper()
	env := pki.New(t)
	server := env.Server()
	d := &door{t: t, env: env, leaf: env.Client("al"), outcomes: make(chan outcome, 100)}
	tlsConfig := &tls.Config{
		Certificates: []tls.Certificate{server.TLS()}, ClientAuth: tls.RequestClientCert,
		MinVersion: tls.VersionTLS12, NextProtos: []string{"postgresql"}, SessionTicketsDisabled: true,
		DynamicRecordSizingDisabled: true,
		CipherSuites:                []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
	}
	d.cfg = &downstream.Config{
		Listener: "main", TLS: func() *tls.Config { return tlsConfig },
		HandshakeTimeout: patience, WriteTimeout: patience, PlaintextCancel: true,
	}
	if adjust != nil {
		adjust(d.cfg)
	}
	d.serve(wrap)
	return d
}

func (d *door) serve(wrap func(net.Conn) net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	d.addr = l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			if wrap != nil {
				raw = wrap(raw)
			}
			running.Go(func() { d.admit(ctx, raw) })
		}
	})
	d.t.Cleanup(func() {
		_ = l.Close()
		stop()
		running.Wait()
		close(d.outcomes)
		for o := range d.outcomes {
			o.close()
		}
	})
}

func (d *door) admit(ctx context.Context, raw net.Conn) {
	client, cancel, err := downstream.Admit(ctx, raw, d.cfg)
	if refused, ok := errors.AsType[*downstream.AdmitError](err); ok {
		if refused.Answer != nil {
			_ = downstream.Refuse(refused.Conn, refused.Answer, patience)
		} else {
			_ = refused.Conn.Close()
		}
	}
	d.outcomes <- outcome{client, cancel, err}
}

func (o outcome) close() {
	if o.client != nil {
		_ = o.client.Conn.Close()
	}
	if o.cancel != nil {
		_ = o.cancel.Conn.Close()
	}
}

// next returns the next outcome; its connection is closed with the test.
func (d *door) next() outcome {
	d.t.Helper()
	select {
	case o := <-d.outcomes:
		d.t.Cleanup(o.close)
		return o
	case <-time.After(patience):
		d.t.Fatal("nothing came of the connection")
		return outcome{}
	}
}

// admitted returns the next outcome, which must be a client.
func (d *door) admitted() *downstream.Client {
	d.t.Helper()
	o := d.next()
	if o.client == nil || o.cancel != nil || o.err != nil {
		d.t.Fatalf("got %+v, want a client", o)
	}
	return o.client
}

// refused returns the next outcome, which must be an error of that stage and reason.
func (d *door) refused(stage, reason string) *downstream.AdmitError {
	d.t.Helper()
	o := d.next()
	e, ok := errors.AsType[*downstream.AdmitError](o.err)
	if !ok || o.client != nil || o.cancel != nil {
		d.t.Fatalf("got %+v, want an AdmitError", o)
	}
	if e.Stage != stage || e.Reason != reason {
		d.t.Errorf("got %s %s (%v), want %s %s", e.Stage, e.Reason, e.Err, stage, reason)
	}
	if !e.Addr.IsValid() {
		d.t.Errorf("no address in %v", e)
	}
	return e
}

// peer is a client that speaks raw bytes.
type peer struct {
	t testing.TB
	net.Conn
}

func (d *door) dial() *peer {
	d.t.Helper()
	conn, err := net.Dial("tcp", d.addr)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &peer{d.t, conn}
}

func (p *peer) send(b ...[]byte) *peer {
	p.t.Helper()
	if _, err := p.Write(bytes.Join(b, nil)); err != nil {
		p.t.Fatalf("send: %v", err)
	}
	return p
}

// expect reads exactly want.
func (p *peer) expect(want string) *peer {
	p.t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(p, got); err != nil || string(got) != want {
		p.t.Fatalf("got %q, %v, want %q", got, err, want)
	}
	return p
}

// expectClosed reads to the end, which must come at once.
func (p *peer) expectClosed() {
	p.t.Helper()
	rest, err := io.ReadAll(p)
	if len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		p.t.Errorf("got %q, %v, want the end", rest, err)
	}
}

// expectError reads an ErrorResponse and a clean end behind it, then closes as clients do.
func (p *peer) expectError(sqlstate string) pgwire.Error {
	p.t.Helper()
	all, err := io.ReadAll(p)
	_ = p.Close()
	if err != nil {
		p.t.Errorf("after %q: %v", all, err) // a reset would be W87
	}
	if len(all) < pgwire.HeaderSize {
		p.t.Fatalf("got %q, want an ErrorResponse", all)
	}
	typ, length := pgwire.Header(all)
	if typ != 'E' || length != len(all)-1 {
		p.t.Fatalf("got %q, want one ErrorResponse", all)
	}
	e, err := pgwire.ParseError(all[pgwire.HeaderSize:])
	if err != nil {
		p.t.Fatal(err)
	}
	if e.Severity != pgwire.Fatal || e.Code != sqlstate {
		p.t.Errorf("got %v, want FATAL %s", &e, sqlstate)
	}
	return e
}

// clientTLS is the configuration of a client that shows its certificate and offers ALPN.
func (d *door) clientTLS() *tls.Config {
	return &tls.Config{
		RootCAs: d.env.Servers.Pool(), ServerName: "localhost",
		Certificates: []tls.Certificate{d.leaf.TLS()}, NextProtos: []string{"postgresql"},
	}
}

// encrypt begins TLS on what was dialled.
func (p *peer) encrypt(config *tls.Config) (*peer, error) {
	conn := tls.Client(p.Conn, config)
	return &peer{p.t, conn}, conn.Handshake()
}

func (p *peer) mustEncrypt(config *tls.Config) *peer {
	p.t.Helper()
	secure, err := p.encrypt(config)
	if err != nil {
		p.t.Fatal(err)
	}
	return secure
}

// secure dials and begins TLS with an SSLRequest.
func (d *door) secure() *peer {
	d.t.Helper()
	return d.dial().send(sslRequest).expect("S").mustEncrypt(d.clientTLS())
}

// direct dials and begins TLS without a request.
func (d *door) direct() *peer {
	d.t.Helper()
	return d.dial().mustEncrypt(d.clientTLS())
}

// packet frames a code and a body as an opening packet.
func packet(code uint32, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	b = binary.BigEndian.AppendUint32(b, code)
	return append(b, body...)
}

func startup(namesAndValues ...string) []byte {
	return packet(uint32(pgwire.V30), strings.Join(namesAndValues, "\x00")+"\x00\x00")
}

var (
	sslRequest    = packet(80877103, "")
	gssRequest    = packet(80877104, "")
	cancelRequest = packet(80877102, "\x00\x00\x04\xd2abcd")
	login         = startup("user", "al", "database", "db")
)

// isTimeout says whether time was up: the deadline's or, when nothing looked at that for long enough,
// TCP_USER_TIMEOUT's.
func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
