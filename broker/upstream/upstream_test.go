package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/fakepg"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/poll"
)

func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }

// login is the one most tests ask for.
var login = Login{Role: "app", Database: "orders"}

// lab is the certificates of one test and a broker's upstream configuration on them.
type lab struct {
	*pki.Env
	t      *testing.T
	broker tls.Certificate
}

func newLab(t *testing.T) *lab {
	t.Helper()
	env := pki.New(t)
	l := &lab{Env: env, t: t, broker: env.Issue(env.Broker, pki.Shape{Subject: pki.Name{pki.CN("broker")}}).TLS()}
	leaf, err := x509.ParseCertificate(l.broker.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	l.broker.Leaf = leaf
	return l
}

// serverTLS is a server's configuration that asks for a client certificate.
func (l *lab) serverTLS(names ...string) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{l.Server(names...).TLS()},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    l.Broker.Pool(),
	}
}

// fake starts a fake server that asks for a client certificate.
func (l *lab) fake(script func(*fakepg.Conn)) *fakepg.Server {
	l.t.Helper()
	return fakepg.Start(l.t, fakepg.Options{TLS: l.serverTLS()}, script)
}

// unasking starts one that does not, for logins with a password.
func (l *lab) unasking(script func(*fakepg.Conn)) *fakepg.Server {
	l.t.Helper()
	config := l.serverTLS()
	config.ClientAuth = tls.NoClientCert
	return fakepg.Start(l.t, fakepg.Options{TLS: config}, script)
}

func (l *lab) config(hosts ...string) Config {
	return Config{
		Name: "orders", Hosts: hosts, RootCAs: l.Servers.Pool,
		Credential:     Certificate{Load: func() *tls.Certificate { return &l.broker }},
		ConnectTimeout: 30 * time.Second, // beyond any pause of the machine: a test of the timeout sets its own
	}
}

func (l *lab) upstream(cfg Config) *Upstream {
	l.t.Helper()
	u, err := New(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	before := goleak.IgnoreCurrent()
	l.t.Cleanup(func() {
		u.Close()
		if err := poll.Gone(before); err != nil {
			l.t.Error(err)
		}
	})
	return u
}

// dial logs in and closes at the end of the test.
func (l *lab) dial(cfg Config, as Login) *Conn {
	l.t.Helper()
	c, err := l.upstream(cfg).Dial(l.t.Context(), as)
	if err != nil {
		l.t.Fatalf("dial: %v", err)
	}
	l.t.Cleanup(func() { c.Close() })
	return c
}

// refusal dials once and wants an error of that SQLSTATE and reason.
func (l *lab) refusal(cfg Config, code, reason string) *LoginError {
	l.t.Helper()
	return refusalOf(l.t, l.upstream(cfg), code, reason)
}

func refusalOf(t *testing.T, u *Upstream, code, reason string) *LoginError {
	t.Helper()
	c, err := u.Dial(t.Context(), login)
	if err == nil {
		c.Close()
		t.Fatalf("logged in to %s, want %s %s", c.Addr, code, reason)
	}
	e, ok := errors.AsType[*LoginError](err)
	if !ok {
		t.Fatalf("%T %v is no *LoginError", err, err)
	}
	if e.SQLState() != code || e.Reason() != reason {
		t.Fatalf("got %s %s (%v), want %s %s", e.SQLState(), e.Reason(), e, code, reason)
	}
	for _, r := range e.Public() + e.Hint() {
		if r < ' ' || r > '~' {
			t.Errorf("public text %q %q is not printable ASCII", e.Public(), e.Hint())
		}
	}
	return e
}

// welcome lets the client in and waits for it to close. A query, to which pgconn resorts when a write has taken
// it long, is answered as an empty one.
func welcome(c *fakepg.Conn) {
	c.Login(fakepg.Login{})
	for m, ok := c.Read(); ok; m, ok = c.Read() {
		if m.Type == 'Q' {
			c.Reply("I ZI")
		}
	}
}

func TestLogin(t *testing.T) {
	l := newLab(t)
	server := l.fake(func(c *fakepg.Conn) {
		s := c.Startup
		if s.Requested != pgwire.V32 {
			t.Errorf("offered protocol %x, want 3.2", s.Requested)
		}
		want := map[string]string{"user": "app", "database": "orders", "application_name": "x y", "replication": "database"}
		for name, value := range want {
			if got, _ := s.Get(name); got != value {
				t.Errorf("%s = %q, want %q", name, got, value)
			}
		}
		if len(s.Params) != len(want) {
			t.Errorf("start-up parameters %v, want %v", s.Params, want)
		}
		if cn := c.TLS.ConnectionState().PeerCertificates[0].Subject.CommonName; cn != "broker" {
			t.Errorf("certificate of %q", cn)
		}
		c.Login(fakepg.Login{PID: 99, Secret: []byte("0123456789abcdef0123456789abcdef")})
		c.ExpectQuery("select 1")
		c.Reply("ZI")
		c.Expect("X")
	})
	as := login
	as.Replication = "database"
	as.Params = []pgwire.Param{{Name: "application_name", Value: "x y"}}
	before := time.Now()
	c, err := l.upstream(l.config(server.Addr)).Dial(t.Context(), as)
	if err != nil {
		t.Fatal(err)
	}
	if c.PID != 99 || len(c.Secret) != 32 || c.Addr != server.Addr || c.ServerVersion != "15.18" || c.Created.Before(before) ||
		c.CertSerial != l.broker.Leaf.SerialNumber.Text(16) || !c.CertNotAfter.Equal(l.broker.Leaf.NotAfter) || c.state.standby {
		t.Errorf("got %+v", c)
	}
	if len(c.Params) != len(fakepg.DefaultParams) || c.Params[0].Name != "DateStyle" {
		t.Errorf("params %v, want all, sorted", c.Params)
	}
	if _, err := c.Net.Write(fakepg.Query("select 1")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 6)
	if _, err := c.Net.Read(answer); err != nil || string(answer) != "Z\x00\x00\x00\x05I" {
		t.Errorf("got %q, %v", answer, err)
	}
	c.Close() // the script wants Terminate
	server.Close()
}

// What has arrived is read without waiting for more, and an end that was met that way is the next Read's to tell.
func TestMoreDoesNotWait(t *testing.T) {
	l := newLab(t)
	rows := bytes.Repeat([]byte("D\x00\x00\x00\x06\x00\x00"), 20_000) // of many records
	server := l.fake(func(c *fakepg.Conn) {
		c.Login(fakepg.Login{})
		c.ExpectQuery("select 1")
		c.Write(rows)
	})
	c := l.dial(l.config(server.Addr), login)
	got, room := []byte{}, make([]byte, 64<<10)
	if n := c.Net.More(room); n != 0 {
		t.Fatalf("%d bytes on a quiet connection", n)
	}
	if _, err := c.Net.Write(fakepg.Query("select 1")); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := c.Net.Read(room)
		n += c.Net.More(room[n:])
		got = append(got, room[:n]...)
		if err != nil {
			break
		}
	}
	if !bytes.Equal(got, rows) {
		t.Errorf("read %d bytes, want the %d that were sent", len(got), len(rows))
	}
	if n, err := c.Net.Read(room); n != 0 || err == nil {
		t.Errorf("behind the end: %d bytes, %v", n, err)
	}
	if n := c.Net.More(room); n != 0 {
		t.Errorf("behind the end: %d bytes more", n)
	}
}

// W17: what the server sent behind ReadyForQuery is neither lost nor left to the relay.
func TestW17SyncBeforeHijack(t *testing.T) {
	l := newLab(t)
	server := l.fake(func(c *fakepg.Conn) {
		login, err := fakepg.Messages("R S=server_version=15.1 S=in_hot_standby=off ZI S=TimeZone=Asia/Tokyo N01000")
		if err != nil {
			t.Error(err)
		}
		c.Write(login)
		c.Expect("Q") // pgconn's ping, because bytes were left in its buffer
		c.Reply("I ZI")
		c.ExpectQuery("select 1")
		c.Reply("T D C ZI")
		c.AwaitClose()
	})
	c := l.dial(l.config(server.Addr), login)
	if want := (pgwire.Param{Name: "TimeZone", Value: "Asia/Tokyo"}); !contains(c.Params, want) {
		t.Errorf("params %v lack %v", c.Params, want)
	}
	if _, err := c.Net.Write(fakepg.Query("select 1")); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1)
	if _, err := c.Net.Read(first); err != nil || first[0] != 'T' {
		t.Errorf("first byte for the relay is %q, %v; want T", first, err)
	}
}

// params is one start-up parameter or ParameterStatus.
func params(name, value string) []pgwire.Param { return []pgwire.Param{{Name: name, Value: value}} }

func contains(list []pgwire.Param, p pgwire.Param) bool {
	for _, q := range list {
		if p == q {
			return true
		}
	}
	return false
}

// Nothing of libpq's environment, password file, service file or ~/.postgresql has a say.
func TestFixedDSN(t *testing.T) {
	l := newLab(t)
	home := t.TempDir()
	if err := os.MkdirAll(home+"/.postgresql", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".pgpass", ".postgresql/postgresql.crt", ".postgresql/postgresql.key", ".postgresql/root.crt", ".pg_service.conf"} {
		if err := os.WriteFile(home+"/"+name, []byte("*:*:*:*:stolen\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", home)
	for _, name := range []string{
		"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGAPPNAME", "PGCONNECT_TIMEOUT",
		"PGSSLMODE", "PGSSLKEY", "PGSSLCERT", "PGSSLCERTMODE", "PGSSLSNI", "PGSSLROOTCERT", "PGSSLPASSWORD",
		"PGSSLNEGOTIATION", "PGTARGETSESSIONATTRS", "PGSERVICE", "PGSERVICEFILE", "PGTZ", "PGOPTIONS",
		"PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION", "PGCHANNELBINDING", "PGREQUIREAUTH",
	} {
		t.Setenv(name, "nonsense")
	}
	cfg, err := parseFixed()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Password != "" || len(cfg.RuntimeParams) != 0 || len(cfg.Fallbacks) != 0 || cfg.ValidateConnect != nil {
		t.Errorf("the environment got in: %+v", cfg)
	}
	if got := os.Getenv("PGSERVICE"); got != "nonsense" {
		t.Errorf("PGSERVICE is now %q", got)
	}
	server := l.fake(func(c *fakepg.Conn) {
		if len(c.Startup.Params) != 2 {
			t.Errorf("start-up parameters %v, want user and database", c.Startup.Params)
		}
		welcome(c)
	})
	l.dial(l.config(server.Addr), login)
}

// T30, W11: names that could not be a role, or would be more than one parameter, never leave.
func TestT30Names(t *testing.T) {
	l := newLab(t)
	server := l.fake(func(c *fakepg.Conn) { t.Error("a connection was made") })
	u := l.upstream(l.config(server.Addr))
	long := strings.Repeat("x", 64)
	for name, as := range map[string]Login{
		"no role":         {Database: "d"},
		"no database":     {Role: "r"},
		"long role":       {Role: long, Database: "d"},
		"long database":   {Role: "r", Database: long},
		"NUL in role":     {Role: "r\x00database\x00d", Database: "d"},
		"NUL in database": {Role: "r", Database: "d\x00x"},
		"NUL in value":    {Role: "r", Database: "d", Params: []pgwire.Param{{Name: "application_name", Value: "a\x00user\x00postgres"}}},
		"NUL in name":     {Role: "r", Database: "d", Params: []pgwire.Param{{Name: "a\x00", Value: "b"}}},
		"empty name":      {Role: "r", Database: "d", Params: []pgwire.Param{{Value: "b"}}},
	} {
		if _, err := u.Dial(t.Context(), as); err == nil {
			t.Errorf("%s: logged in", name)
		}
	}
	if n := server.Accepted(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestNewChecksConfig(t *testing.T) {
	l := newLab(t)
	for name, change := range map[string]func(*Config){
		"no hosts":        func(c *Config) { c.Hosts = nil },
		"no port":         func(c *Config) { c.Hosts = []string{"localhost"} },
		"no CAs":          func(c *Config) { c.RootCAs = nil },
		"no credential":   func(c *Config) { c.Credential = nil },
		"no timeout":      func(c *Config) { c.ConnectTimeout = 0 },
		"odd target":      func(c *Config) { c.Target = "master" },
		"odd negotiation": func(c *Config) { c.Negotiation = "plain" },
	} {
		cfg := l.config("localhost:5432")
		if change(&cfg); true {
			if _, err := New(cfg); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
	}
}

// Dial ends with its context, whatever the server does.
func TestDialEndsWithContext(t *testing.T) {
	l := newLab(t)
	server := l.fake(func(c *fakepg.Conn) { c.AwaitClose() }) // never answers the start-up packet
	ctx, cancel := context.WithCancelCause(t.Context())
	u := l.upstream(l.config(server.Addr))
	cause := errors.New("pool closed")
	go func() {
		for server.Accepted() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel(cause)
	}()
	if _, err := u.Dial(ctx, login); !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
	if standing, last := u.gates.enter(server.Addr); standing != good {
		t.Errorf("a dial that was cancelled counts against the host: %v", last)
	}
}
