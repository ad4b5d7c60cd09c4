package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// T72: the broker's certificate opens the brokered roles, and no others.
func testCertificate(t *testing.T, l *lab, s *pgserver.Server) {
	l.setCertificate(s)
	u := l.upstream(l.config(s.Addr()))
	l.roles(t, u)
	wantRefused(t, u, as("stranger", "orders"), "28000")
	wantRefused(t, u, as(pgserver.Superuser, "orders"), "28000")
	wantRefused(t, u, as("nobody", "orders"), "28000")
	wantRefused(t, u, as("app_rw", "absent"), "3D000")
	s.MustExec(t, "REVOKE CONNECT ON DATABASE orders FROM public")
	wantRefused(t, u, as("app_rw", "orders"), "42501")
	s.MustExec(t, "GRANT CONNECT ON DATABASE orders TO public; ALTER ROLE app_rw NOLOGIN")
	wantRefused(t, u, as("app_rw", "orders"), "28000")

	// Another certificate of the same CA is not the broker's.
	other := l.Issue(l.Broker, pki.Shape{CN: "other"}).TLS()
	cfg := l.config(s.Addr())
	cfg.Credential = Certificate{Load: func() *tls.Certificate { return withLeaf(t, other) }}
	wantRefused(t, l.upstream(cfg), as("app_ro", "orders"), "28000")
}

// T73, T75: CN=<role> without pg_ident.conf.
func testIssuer(t *testing.T, l *lab, s *pgserver.Server) {
	l.set(s, lines(t, "hba issuer"), nil)
	var m mints
	ca := caPair(t, l.Clients)
	issuer := newIssuer(t, &m, func(cfg *IssuerConfig) { cfg.CA = func() *tls.Certificate { return ca } })
	cfg := l.config(s.Addr())
	cfg.Credential = issuer
	u := l.upstream(cfg)
	l.roles(t, u)
	l.roles(t, u)
	if m.count() != 2 {
		t.Errorf("%d mints for two roles, want 2", m.count())
	}
	c, err := u.Dial(t.Context(), as("app_rw", "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := ask(t, c, "select client_serial from pg_stat_ssl where pid = pg_backend_pid()"); got == "" {
		t.Error("pg_stat_ssl shows no client certificate")
	}
	wantRefused(t, u, as("stranger", "orders"), "28000")
	wantRefused(t, u, as(pgserver.Superuser, "orders"), "28000")
}

// T76: SCRAM with channel binding; the file is read anew.
func testPassword(t *testing.T, l *lab, s *pgserver.Server) {
	l.set(s, lines(t, "hba password"), nil)
	dir := t.TempDir()
	write := func(role, password string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, role), []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.MustExec(t, "ALTER ROLE app_rw PASSWORD 'tiger'; ALTER ROLE app_ro PASSWORD 'lion'")
	write("app_rw", "tiger")
	write("app_ro", "lion")
	cfg := l.config(s.Addr())
	cfg.Credential = PasswordFile{Path: filepath.Join(dir, "{role}"), Read: os.ReadFile}
	u := l.upstream(cfg)
	l.roles(t, u)
	s.MustExec(t, "ALTER ROLE app_rw PASSWORD 'panther'")
	if e := wantRefused(t, u, as("app_rw", "orders"), "28P01"); e != nil && strings.Contains(e.Error(), "tiger") {
		t.Errorf("the password is in %v", e)
	}
	write("app_rw", "panther")
	l.roles(t, u)

	// T76: nothing weaker. A server that would take the password itself does not get it.
	l.set(s, []string{"hostssl all +brokered 127.0.0.1/32 password"}, nil)
	wantRefused(t, u, as("app_rw", "orders"), "08004")
	l.set(s, []string{"hostssl all +brokered 127.0.0.1/32 trust"}, nil)
	wantRefused(t, u, as("app_rw", "orders"), "08004")
}

// T71: a trust line that comes first; PostgreSQL 15 cannot tell, as the page says.
func testTrustLine(t *testing.T, l *lab, s *pgserver.Server) {
	hba := append([]string{"hostssl all all 127.0.0.1/32 trust"}, lines(t, "hba certificate")...)
	l.set(s, hba, nil)
	u := l.upstream(l.config(s.Addr()))
	if rows, err := s.QueryString(t.Context(), "SELECT count(*)::text FROM ("+strings.TrimSuffix(block(t, "sql trust"), ";")+") x WHERE database = '{all}'"); err != nil || rows == "0" {
		t.Errorf("the page's query finds %q lines, %v", rows, err)
	}
	if s.Major < 16 {
		l.roles(t, u)
		return
	}
	e := wantRefused(t, u, as("app_rw", "orders"), "08004")
	if e == nil || e.Reason() != ReasonUnproven || !strings.Contains(e.Error(), "trust line in pg_hba.conf") {
		t.Errorf("got %v", e)
	}
	// clientcert=verify-full proves the certificate's chain, not that the role is its own.
	l.set(s, []string{"hostssl all all 127.0.0.1/32 trust clientcert=verify-ca"}, nil)
	wantRefused(t, u, as("app_rw", "orders"), "08004")
	l.set(s, []string{"hostssl all all 127.0.0.1/32 scram-sha-256"}, nil)
	wantRefused(t, u, as("app_rw", "orders"), "08004")
}

// T95: whoever is brokered gets in no other way, whatever password it gave itself.
func testRejectLines(t *testing.T, l *lab, s *pgserver.Server) {
	for _, name := range []string{"hba certificate", "hba issuer"} {
		hba := append(lines(t, name), "host all all all scram-sha-256", "local all all scram-sha-256")
		l.set(s, hba, nil)
		s.MustExec(t, "ALTER ROLE app_rw PASSWORD 'own'; ALTER ROLE stranger PASSWORD 'own'")
		if got := plain(t, s, "app_rw"); got != "28000" {
			t.Errorf("%s: a brokered role without the broker gets %s, want 28000", name, got)
		}
		if got := plain(t, s, "stranger"); got != "" {
			t.Errorf("%s: another role gets %s; the lines hit too many", name, got)
		}
	}
	if s.Major >= 16 {
		l.setCertificate(s)
		c := l.dial(l.config(s.Addr()), as("app_rw", "orders"))
		if got := ask(t, c, "set role brokered"); got != "42501" {
			t.Errorf("SET ROLE brokered: %q, want 42501", got)
		}
	}
}

// login_check (W95) on a session that exists.
func testLoginCheck(t *testing.T, l *lab, s *pgserver.Server) {
	l.setCertificate(s)
	c := l.dial(l.config(s.Addr()), as("app_rw", "orders"))
	for _, tt := range []struct{ sql, want string }{
		{"", "t"},
		{"ALTER ROLE app_rw NOLOGIN", "f"},
		{"ALTER ROLE app_rw LOGIN", "t"},
		{"REVOKE CONNECT ON DATABASE orders FROM public", "f"},
		{"GRANT CONNECT ON DATABASE orders TO app_rw", "t"},
		{"ALTER ROLE app_rw RENAME TO app_old", "t"}, // session_user follows the rename
		{"REVOKE CONNECT ON DATABASE orders FROM app_old; DROP ROLE app_old", ""},
	} {
		s.MustExec(t, tt.sql)
		if got := ask(t, c, LoginCheckQuery); got != tt.want && !(tt.want == "" && len(got) == 5) {
			t.Errorf("after %q: %q, want %q", tt.sql, got, tt.want)
		}
	}
}

// Cancel stops a query on the real thing (W77); keys are 32 bytes where protocol 3.2 is spoken (W8).
func testCancel(t *testing.T, l *lab, s *pgserver.Server) {
	l.setCertificate(s)
	c := l.dial(l.config(s.Addr()), as("app_rw", "orders"))
	if want := map[bool]int{true: 32, false: 4}[s.Major >= 18]; len(c.Secret) != want {
		t.Errorf("%d bytes of cancel key, want %d", len(c.Secret), want)
	}
	if got := ask(t, c, "select pg_backend_pid()"); got != fmt.Sprint(c.PID) {
		t.Errorf("pid %s, want %d", got, c.PID)
	}
	got := make(chan string)
	go func() { got <- ask(t, c, "select pg_sleep(60)") }()
	for sleeping := ""; sleeping != "1"; {
		var err error
		sleeping, err = s.QueryString(t.Context(), "select count(*)::text from pg_stat_activity where wait_event = 'PgSleep'")
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := <-got; code != "57014" {
		t.Errorf("got %s, want 57014", code)
	}
	if got := ask(t, c, "select 'next'"); got != "next" {
		t.Errorf("the next query got %q", got)
	}
}

func testDirect(t *testing.T, l *lab, s *pgserver.Server) {
	l.setCertificate(s)
	cfg := l.config(s.Addr())
	cfg.Negotiation = NegotiateDirect
	u := l.upstream(cfg)
	if s.Major >= 17 {
		l.roles(t, u)
		return
	}
	wantRefused(t, u, as("app_rw", "orders"), "08006")
}

// Replication logins: physical ones run no SQL, so that nothing of ours may.
func testReplication(t *testing.T, l *lab, s *pgserver.Server) {
	l.setCertificate(s)
	u := l.upstream(l.config(s.Addr()))
	s.MustExec(t, "ALTER ROLE app_rw REPLICATION")
	for _, as := range []Login{
		{Role: "app_rw", Replication: "true"},
		{Role: "app_rw", Database: "orders", Replication: "true"},
		{Role: "app_rw", Database: "orders", Replication: "database"},
	} {
		c, err := u.Dial(t.Context(), as)
		if err != nil {
			t.Fatalf("%+v: %v", as, err)
		}
		if got := ask(t, c, "SHOW server_version_num"); !strings.HasPrefix(got, fmt.Sprint(s.Major)) {
			t.Errorf("%+v: %q", as, got)
		}
		c.Close()
	}
}

// A wrong CA, a wrong name and a server without TLS, each with its SQLSTATE and what to do.
func testUnverified(t *testing.T, l *lab, s *pgserver.Server) {
	l.setCertificate(s)
	cfg := l.config(s.Addr())
	cfg.RootCAs = l.Clients.Pool
	if e := l.refusal(cfg, "08006", ReasonTLS); !strings.Contains(e.Error(), "unknown authority") {
		t.Errorf("wrong CA: %v", e)
	}
	cfg = l.config(s.Addr())
	cfg.ServerName = "db.example"
	if e := l.refusal(cfg, "08006", ReasonTLS); !strings.Contains(e.Error(), "not db.example") {
		t.Errorf("wrong name: %v", e)
	}
	cfg = l.config(s.Addr())
	cfg.ServerName = "localhost"
	l.roles(t, l.upstream(cfg))

	// A certificate of a CA that the server does not know: its alert, or a reset where that is lost.
	stranger := withLeaf(t, l.Issue(l.Servers, pki.Shape{CN: "broker"}).TLS())
	cfg = l.config(s.Addr())
	cfg.Credential = Certificate{Load: func() *tls.Certificate { return stranger }}
	_, err := l.upstream(cfg).Dial(t.Context(), login)
	if e, ok := errors.AsType[*LoginError](err); !ok || !strings.Contains(e.Error(), "our certificate") {
		t.Errorf("unknown CA of ours: %v", err)
	}
}

func TestPlaintextPostgreSQL(t *testing.T) {
	l := newLab(t)
	plaintext := pgserver.Start(t, pgserver.Options{HBA: []string{"host all all all trust"}})
	if e := l.refusal(l.config(plaintext.Addr()), "08006", ReasonTLS); !strings.Contains(e.Error(), "does not offer TLS") {
		t.Errorf("no TLS: %v", e)
	}
}

// A primary that goes away, and a standby that takes over.
func TestFailoverOnPostgreSQL(t *testing.T) {
	l := newLab(t)
	primary := l.postgres(15)
	l.populate(primary)
	l.setCertificate(primary)
	standby, err := primary.Standby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { standby.Close() })
	dial := func(target string) (*Conn, error) {
		cfg := l.config(primary.Addr(), standby.Addr())
		cfg.Target = target
		c, err := l.upstream(cfg).Dial(t.Context(), as("app_rw", "orders"))
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return c, err
	}
	for target, want := range map[string]*pgserver.Server{
		TargetAny: primary, TargetPrimary: primary, TargetReadWrite: primary,
		TargetStandby: standby, TargetReadOnly: standby, TargetPreferStandby: standby,
	} {
		if c, err := dial(target); err != nil || c.Addr != want.Addr() {
			t.Errorf("%s: %v, want %s", target, err, want.Addr())
		}
	}
	if err := primary.Stop(context.Background(), pgserver.Kill); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(TargetPrimary); err == nil || !strings.Contains(err.Error(), "a standby, target is primary") {
		t.Errorf("without a primary: %v", err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, err := dial(TargetPrimary); err != nil || c.Addr != standby.Addr() {
		t.Errorf("after the promotion: %v", err)
	}
}
