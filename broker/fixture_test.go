package broker

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/downstream"
	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/broker/upstream"
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/testenv/fakepg"
	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/poll"
)

// lab is a Server in this process, in front of a fake PostgreSQL.
type lab struct {
	*pki.Env
	t      testing.TB
	server *Server
	pg     *fakepg.Server
	trust  trust.Config
	up     *Upstream
	record string       // directory of the audit
	ran    atomic.Int64 // queries that PostgreSQL has been sent
	faults atomic.Pointer[fault]
	cancel atomic.Pointer[func(*fakepg.Conn)] // what PostgreSQL does with a cancel request; nil: closes at once
	ahead  atomic.Int64                       // nanoseconds by which the clocks that end certificates are fast

	transactions atomic.Bool // the rules say transaction mode
	left         atomic.Bool // the client has closed its connection
}

// newLab starts a server with rules; barrier, unless nil, is told of every point of a login.
func newLab(t testing.TB, size int, barrier func(point string), rules ...policy.Rule) *lab {
	t.Helper()
	return newAuditedLab(t, size, barrier, audit.Config{Directory: filepath.Join(t.TempDir(), "audit"), Delivery: audit.BestEffort}, audit.LevelSession, rules...)
}

// newAuditedLab is newLab with another audit.
func newAuditedLab(t testing.TB, size int, barrier func(point string), record audit.Config, level audit.Level, rules ...policy.Rule) *lab {
	t.Helper()
	l := &lab{Env: pki.New(t), t: t, record: record.Directory}
	record.Node = "test"
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		if err := poll.Gone(before); err != nil {
			t.Error(err)
		}
	})
	l.pg = fakepg.Start(t, fakepg.Options{TLS: &tls.Config{
		Certificates: []tls.Certificate{l.Server("localhost").TLS()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: l.Env.Broker.Pool(),
	}, Cancel: func(c *fakepg.Conn, _ pgwire.CancelKey) {
		if f := l.cancel.Load(); f != nil {
			(*f)(c)
		}
	}}, l.obey)
	l.trust = trust.Config{Listener: "main", ClientCA: []string{l.WriteCA(l.Clients, "clients")}}
	l.trust.CertFile, l.trust.KeyFile = l.WriteLeaf(l.Server(), "server")
	l.up = l.upstream(size)
	trail, err := audit.Open(record)
	if err != nil {
		t.Fatal(err)
	}
	l.server, err = New(Config{
		Node: "test", Audit: trail, AuditLevel: level, Log: zap.NewNop(), DrainTimeout: time.Second,
		Listeners: []Listener{{Name: "main", Address: "127.0.0.1:0", Admission: downstream.Config{HandshakeTimeout: time.Minute}}},
	}, l.snapshot(nil, rules...))
	if err != nil {
		t.Fatal(err)
	}
	l.server.barrier = barrier
	l.server.readClocks = func() (time.Time, time.Duration) {
		wall, mono := readClocks()
		ahead := time.Duration(l.ahead.Load())
		return wall.Add(ahead), mono + ahead
	}
	if err := l.server.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() {
		defer close(served)
		l.server.Serve(ctx, ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-served
		whole := trail.Close() == nil
		for end := time.Now().Add(time.Minute); !whole && record.Files == nil && time.Now().Before(end); {
			whole = trail.Close() == nil // a busy disk is not a silent one
		}
		l.up.Close()
		if whole {
			accounted(t, l.record)
		}
	})
	return l
}

// accounted checks that every session in the audit was opened and closed once, or refused once.
func accounted(t testing.TB, directory string) {
	events := make(map[string]string) // of each session, in order
	files, _ := filepath.Glob(filepath.Join(directory, "*.ndjson"))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Error(err)
		}
		for l := range bytes.Lines(text) {
			var r struct{ Event, SID string }
			if err := json.Unmarshal(l, &r); err != nil {
				t.Errorf("%s: %v", l, err)
			}
			switch r.Event {
			case "session.open", "session.close", "session.denied":
				events[r.SID] += r.Event + " "
			}
		}
	}
	for sid, got := range events {
		if got != "session.open session.close " && got != "session.denied " {
			t.Errorf("the record of session %s is %q", sid, got)
		}
	}
}

// obey answers every Query as done.
func (l *lab) obey(c *fakepg.Conn) {
	c.Login(fakepg.Login{})
	for {
		m, ok := c.Read()
		if !ok || m.Type == 'X' {
			return
		}
		if f := l.faults.Load(); f != nil && f.answers(m) {
			if !f.server(l, c) {
				return
			}
			continue
		}
		if m.Type != 'Q' {
			continue
		}
		tag := "SELECT 1"
		if m.String() == "DISCARD ALL" {
			tag = "DISCARD ALL"
		} else {
			l.ran.Add(1)
		}
		c.Write(append(commandComplete(tag), pgwire.AppendReadyForQuery(nil, 'I')...))
	}
}

func commandComplete(tag string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{'C'}, uint32(4+len(tag)+1))
	return append(append(b, tag...), 0)
}

func (l *lab) upstream(size int) *Upstream {
	l.t.Helper()
	cert := l.Issue(l.Env.Broker, pki.Shape{CN: "broker"}).TLS()
	cert.Leaf, _ = x509.ParseCertificate(cert.Certificate[0])
	up, err := upstream.New(upstream.Config{
		Name: "pg", Hosts: []string{l.pg.Addr}, ServerName: "localhost", RootCAs: l.Servers.Pool,
		Credential: upstream.Certificate{Load: func() *tls.Certificate { return &cert }}, ConnectTimeout: 10 * time.Second,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return &Upstream{Upstream: up, CancelTimeout: time.Second, Pool: Pool{
		Mode: relay.SessionMode, Pins: &relay.PinLimit{}, ResetTimeout: 5 * time.Second,
		Limits: pool.Limits{Size: size, UpstreamMax: size, WaitTimeout: time.Minute, MaxLifetime: time.Hour, IdleTimeout: time.Hour},
	}}
}

// snapshot is one with rules and what the listener's files hold now.
func (l *lab) snapshot(prev *Snapshot, rules ...policy.Rule) *Snapshot {
	l.t.Helper()
	p, err := policy.Compile(policy.Config{Rules: rules, Databases: []policy.Database{{Name: "orders", Upstream: "pg"}}})
	if err != nil {
		l.t.Fatal(err)
	}
	var before *trust.Snapshot
	if prev != nil {
		before = prev.Trust["main"]
	}
	trusted, err := trust.Load(l.trust, time.Now(), before)
	if err != nil {
		l.t.Fatal(err)
	}
	return &Snapshot{
		Policy: p, Databases: []string{"orders"}, Trust: map[string]*trust.Snapshot{"main": trusted},
		Expiry: map[string]Expiry{}, Upstreams: map[string]*Upstream{"pg": l.up},
	}
}

// everybody may log in as app.
var everybody = policy.Rule{Kind: policy.Map, Name: "everybody", Roles: []string{"app"}, Databases: []string{"orders"},
	Match: []policy.Condition{{Field: policy.FieldCN, Values: []string{"/.*"}}}}

// denied refuses one common name.
func denied(cn string) policy.Rule {
	return policy.Rule{Kind: policy.Deny, Name: "denied", Match: []policy.Condition{{Field: policy.FieldCN, Values: []string{cn}}}}
}

// dial comes as far as the start-up packet, in which params are names and values.
func (l *lab) dial(leaf *pki.Leaf, params ...string) *tls.Conn {
	l.t.Helper()
	conn := l.dialTLS(leaf)
	body := "\x00\x03\x00\x00user\x00app\x00database\x00orders\x00"
	for _, p := range params {
		body += p + "\x00"
	}
	body += "\x00"
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(4+len(body))), body...)); err != nil {
		l.t.Fatal(err)
	}
	return conn
}

// dialTLS is a client that has said nothing yet.
func (l *lab) dialTLS(leaf *pki.Leaf) *tls.Conn {
	l.t.Helper()
	raw, err := net.Dial("tcp", l.server.Addr("main").String())
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { raw.Close() })
	cert := leaf.TLS()
	conn := tls.Client(raw, &tls.Config{
		RootCAs: l.Servers.Pool(), ServerName: "localhost", NextProtos: []string{"postgresql"},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
	})
	conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// read returns messages until one of these types, or nil at the end of the connection.
func read(conn net.Conn, types string) (typ byte, body []byte) {
	for {
		var head [5]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return 0, nil
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(conn, body); err != nil {
			return 0, nil
		}
		for _, want := range types {
			if head[0] == byte(want) {
				return head[0], body
			}
		}
	}
}

// login must succeed.
func (l *lab) login(leaf *pki.Leaf) *tls.Conn {
	l.t.Helper()
	conn := l.dial(leaf)
	if typ, body := read(conn, "ZE"); typ != 'Z' {
		l.t.Fatalf("login: %c %q", typ, body)
	}
	return conn
}
