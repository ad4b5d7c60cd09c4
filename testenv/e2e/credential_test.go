package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// bothEnds are the oldest and the newest PostgreSQL that is supported.
var bothEnds = []int{15, 18}

// TestCredentials logs in with each credential through the exact lines of docs/postgresql.md, and
// with what can be wrong with a server.
func TestCredentials(t *testing.T) {
	for _, version := range bothEnds {
		t.Run(fmt.Sprint("PostgreSQL ", version), func(t *testing.T) {
			w := Shared(t)
			d := w.startDocumented(t, version, nil)
			for _, kind := range []string{"certificate", "issuer", "password"} {
				t.Run(kind, func(t *testing.T) { d.testCredential(t, kind) })
			}
			t.Run("trust line", d.testTrustLine)
			t.Run("unverified", d.testUnverified)
			t.Run("direct", d.testDirect)
		})
	}
}

func (d *documented) testCredential(t *testing.T, kind string) {
	d.setHBA(t, pageLines(t, "hba "+kind)...)
	d.MustExec(t, "ALTER ROLE app_rw PASSWORD 'tiger'; ALTER ROLE app_ro PASSWORD 'lion'; ALTER ROLE stranger PASSWORD 'tiger'")
	for _, pool := range []string{"", transactions(4)} {
		o := d.options(t, kind, pool)
		if kind == "password" {
			o.Files["secrets/stranger"] = "tiger"
		}
		b := d.w.Start(t, o)
		for _, role := range []string{"app_rw", "app_ro"} {
			c := b.Connect(t, d.w.Client(role), role, "orders")
			if got := one[string](t, c, "select session_user"); got != role {
				t.Errorf("logged in as %s, want %s", got, role)
			}
			dn := one[string](t, c, "select coalesce(client_dn, '') from pg_stat_ssl where pid = pg_backend_pid()")
			if want := map[string]string{"certificate": "/CN=broker", "issuer": "/CN=" + role, "password": ""}[kind]; dn != want {
				t.Errorf("PostgreSQL saw certificate %q, want %q", dn, want)
			}
		}
		if _, err := b.TryConnect(d.w.Client("stranger"), "stranger", "orders"); SQLState(err) != "28000" {
			t.Errorf("a role outside the group: %v, want SQLSTATE 28000", err)
		}
		if strings.Contains(b.Output(), "tiger") {
			t.Error("the log holds a password")
		}
	}
	if kind == "password" {
		d.testNewPassword(t)
	}
}

// T76: a new password counts from the next login; a file that others can read does not count at all.
func (d *documented) testNewPassword(t *testing.T) {
	b := d.w.Start(t, d.options(t, "password", `max_lifetime = "1s"`))
	held := b.Connect(t, d.w.Client("app_rw"), "app_rw", "orders")
	d.MustExec(t, "ALTER ROLE app_rw PASSWORD 'panther'")
	if _, err := b.TryConnect(d.w.Client("app_rw"), "app_rw", "orders"); SQLState(err) != "28P01" {
		t.Errorf("the old password: %v, want SQLSTATE 28P01", err)
	}
	b.WriteFile(t, "secrets/app_rw", []byte("panther\n"))
	b.Connect(t, d.w.Client("app_rw"), "app_rw", "orders")
	if one[int](t, held, "select 1") != 1 {
		t.Error("the connection that was there is lost")
	}
}

// T71: from PostgreSQL 16 on a trust line that comes first ends the login with a clear error.
// PostgreSQL 15 cannot tell: docs/postgresql.md says so.
func (d *documented) testTrustLine(t *testing.T) {
	d.setHBA(t, append([]string{"hostssl all all 127.0.0.1/32 trust"}, pageLines(t, "hba certificate")...)...)
	defer d.setHBA(t, pageLines(t, "hba certificate")...)
	for _, kind := range []string{"certificate", "issuer", "password"} {
		b := d.w.Start(t, d.options(t, kind, ""))
		_, err := b.TryConnect(d.w.Client("app_rw"), "app_rw", "orders")
		if d.Major < 16 && kind != "password" {
			if err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			continue
		}
		if SQLState(err) != "08004" {
			t.Errorf("%s: %v, want SQLSTATE 08004", kind, err)
		}
		if kind != "password" {
			b.pollLog(t, "a trust line in pg_hba.conf let the login in")
		}
		if dig(b.Records("session.denied", 1)[0], "denial.sqlstate") != "08004" {
			t.Errorf("%s: the audit has %v", kind, b.Records("session.denied", 1)[0])
		}
	}
}

// T69, T70: a server of another CA, under another name, and one without TLS: 08006, with what to do
// in the log and, where it is about certificates, for the client.
func (d *documented) testUnverified(t *testing.T) {
	plaintext := pgserver.Start(t, pgserver.Options{Version: d.Major, HBA: []string{"host all all all trust"}})
	for _, tt := range []struct {
		name      string
		change    func(*Options)
		log, hint string
	}{
		{"wrong CA", func(o *Options) { o.Files["servers-ca.crt"] = string(d.w.Clients.CertPEM()) },
			"unknown authority", "Check that ca_file holds the CA that issued the server's certificate."},
		{"wrong name", func(o *Options) { o.Upstream = `server_name = "db.example"` },
			"not db.example", "Set server_name to a name in the server's certificate."},
		{"plaintext", func(o *Options) { o.Host = plaintext.Addr() }, "the server does not offer TLS", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := d.options(t, "certificate", "")
			tt.change(&o)
			b := d.w.Start(t, o)
			wire := b.DialTLS(t, d.w.Client("app_rw"))
			wire.Send(Startup(3<<16, "user", "app_rw", "database", "orders"))
			m := wire.ReadError()
			if Field(m, 'C') != "08006" || Field(m, 'H') != tt.hint {
				t.Errorf("%s, hint %q, want 08006, %q", ErrorText(m), Field(m, 'H'), tt.hint)
			}
			b.pollLog(t, tt.log)
		})
	}
}

// Direct TLS needs PostgreSQL 17; cancels go the same way.
func (d *documented) testDirect(t *testing.T) {
	o := d.options(t, "certificate", "")
	o.Upstream = `negotiation = "direct"`
	b := d.w.Start(t, o)
	c, err := b.TryConnect(d.w.Client("app_rw"), "app_rw", "orders")
	if d.Major < 17 {
		if SQLState(err) != "08006" {
			t.Errorf("%v, want SQLSTATE 08006", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	Poll(t, "the cancel to arrive", func() bool {
		ended := make(chan error, 1)
		go func() { _, err := c.Exec(context.Background(), "select pg_sleep(5)"); ended <- err }()
		c.PgConn().CancelRequest(context.Background())
		return SQLState(<-ended) == "57014"
	})
}

// T74: a role's first login costs one mint, its record is in the audit, and the next thousand cost
// none. T81: the issuing CA is not a client CA too.
func TestMints(t *testing.T) {
	w := Shared(t)
	d := w.startDocumented(t, 18, nil)
	d.setHBA(t, pageLines(t, "hba issuer")...)
	o := d.options(t, "issuer", `size = 2`)
	o.Audit = `delivery = "strict"`
	b := w.Start(t, o)
	ctx := context.Background()
	app := w.Client("app_rw")
	visit := func() {
		t.Helper()
		c, err := b.TryConnect(app, "app_rw", "orders")
		if err != nil {
			t.Fatal(err)
		}
		c.Close(ctx)
	}
	visit()
	mint := b.Records("mint", 1)[0]
	open := b.Records("session.open", 1)[0]
	if dig(mint, "mint.role") != "app_rw" || dig(mint, "mint.upstream") != "pg" || dig(mint, "mint.serial") != dig(open, "upstream.cert_serial") {
		t.Errorf("mint %v, login %v", mint, open)
	}
	for range 1000 {
		visit()
	}
	b.Records("session.open", 1001)
	if n := len(b.readRecords("mint")); n != 1 {
		t.Errorf("%d mints after 1001 logins, want 1", n)
	}

	// A new login at PostgreSQL uses it again; another role has its own.
	d.MustExec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app_rw'")
	visit()
	c := b.Connect(t, w.Client("app_ro"), "app_ro", "orders")
	one[int](t, c, "select 1")
	if n := len(b.Records("mint", 2)); n != 2 {
		t.Errorf("%d mints for two roles, want 2", n)
	}
}

// T81: a CA that clients are trusted by may not issue roles, at start and when its file changes.
func TestT81IssuerIsNoClientCA(t *testing.T) {
	w := Shared(t)
	d := w.startDocumented(t, 15, nil)
	d.setHBA(t, pageLines(t, "hba issuer")...)
	b := w.Start(t, d.options(t, "issuer", ""))
	b.Connect(t, w.Client("app_rw"), "app_rw", "orders")
	b.replacePair(t, "roles-ca", &pki.Leaf{DER: w.Clients.DER, Key: w.Clients.Key})
	Poll(t, "the refusal", func() bool { return b.Find("upstream certificates not renewed") != nil })
	if err := fmt.Sprint(b.Find("upstream certificates not renewed")["error"]); !strings.Contains(err, "is a client CA of listener") {
		t.Errorf("the log says %s", err)
	}
	b.Connect(t, w.Client("app_ro"), "app_ro", "orders") // by the CA that was there
}
