package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/fakepg"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// block is the code block behind a marker in docs/postgresql.md: what the page shows is what the
// tests run.
func block(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "postgresql.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "<!-- test: "+name+" -->\n```")
	if !ok {
		t.Fatalf("docs/postgresql.md has no block %q", name)
	}
	_, rest, _ = strings.Cut(rest, "\n")
	code, _, _ := strings.Cut(rest, "```")
	return strings.TrimSpace(code)
}

func lines(t *testing.T, name string) []string { return strings.Split(block(t, name), "\n") }

// versions are the PostgreSQL releases that every credential is tested on.
var versions = []int{15, 16, 17, 18}

// TestPostgreSQL runs every test of this file that needs no server of its own on one server of each
// version; the roles, the database and the lines are new for each.
func TestPostgreSQL(t *testing.T) {
	for _, version := range versions {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			whole := newLab(t)
			s := whole.postgres(version)
			for _, tt := range []struct {
				name string
				test func(*testing.T, *lab, *pgserver.Server)
			}{
				{"T72 certificate", testCertificate},
				{"T73 T75 issuer", testIssuer},
				{"T76 password", testPassword},
				{"T71 trust line", testTrustLine},
				{"T95 reject lines", testRejectLines},
				{"W95 login check", testLoginCheck},
				{"W77 cancel", testCancel},
				{"direct", testDirect},
				{"replication", testReplication},
				{"unverified", testUnverified},
			} {
				t.Run(tt.name, func(t *testing.T) {
					l := *whole
					l.t = t
					l.populate(s)
					tt.test(t, &l, s)
				})
			}
		})
	}
}

// postgres starts a server that trusts the broker's CA and, for the issuer, Clients.
func (l *lab) postgres(version int) *pgserver.Server {
	l.t.Helper()
	server := l.Server()
	key, err := server.KeyPEM()
	if err != nil {
		l.t.Fatal(err)
	}
	return pgserver.Start(l.t, pgserver.Options{
		Version: version,
		TLS:     pgserver.TLS{Cert: string(server.PEM()), Key: string(key), CA: string(l.Broker.CertPEM()) + string(l.Clients.CertPEM())},
		HBA:     []string{"local all all reject"},
	})
}

// populate makes the page's roles and a database, anew.
func (l *lab) populate(s *pgserver.Server) {
	l.t.Helper()
	s.MustExec(l.t, "DROP DATABASE IF EXISTS orders WITH (FORCE)")
	s.MustExec(l.t, "DROP ROLE IF EXISTS app_rw, app_ro, stranger, brokered")
	sql := block(l.t, "sql 15")
	if s.Major >= 16 {
		sql = block(l.t, "sql 16")
	}
	s.MustExec(l.t, "CREATE ROLE app_rw LOGIN; CREATE ROLE app_ro LOGIN; CREATE ROLE stranger LOGIN; "+sql)
	s.MustExec(l.t, "CREATE DATABASE orders")
}

// set puts lines of the page into the server's files.
func (l *lab) set(s *pgserver.Server, hba []string, ident []string) {
	l.t.Helper()
	if err := errors.Join(s.SetHBA(l.t.Context(), hba...), s.SetIdent(l.t.Context(), ident...)); err != nil {
		l.t.Fatal(err)
	}
}

// setCertificate sets the page's lines for credential "certificate".
func (l *lab) setCertificate(s *pgserver.Server) {
	l.t.Helper()
	ident := "ident 15"
	if s.Major >= 16 {
		ident = "ident 16"
	}
	l.set(s, lines(l.t, "hba certificate"), lines(l.t, ident))
}

// ask runs a query on a connection as the relay would, and returns its first value; or the
// SQLSTATE of its error.
func ask(t *testing.T, c *Conn, sql string) string {
	t.Helper()
	if _, err := c.Net.Write(fakepg.Query(sql)); err != nil {
		t.Fatal(err)
	}
	value := ""
	for {
		var header [5]byte
		if _, err := io.ReadFull(c.Net, header[:]); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		body := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
		if _, err := io.ReadFull(c.Net, body); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		switch header[0] {
		case 'D':
			if size := int32(binary.BigEndian.Uint32(body[2:])); size >= 0 {
				value = string(body[6 : 6+size])
			}
		case 'E':
			e, err := pgwire.ParseError(body)
			if err != nil {
				t.Fatal(err)
			}
			value = e.Code
		case 'Z':
			return value
		}
	}
}

func as(role, database string) Login { return Login{Role: role, Database: database} }

// roles logs in as both roles and holds the session to be theirs.
func (l *lab) roles(t *testing.T, u *Upstream) {
	t.Helper()
	for _, role := range []string{"app_rw", "app_ro"} {
		c, err := u.Dial(t.Context(), as(role, "orders"))
		if err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		if got := ask(t, c, "select session_user || ' ' || current_user || ' ' || current_database()"); got != role+" "+role+" orders" {
			t.Errorf("logged in as %q, want %s", got, role)
		}
		c.Close()
	}
}

// wantRefused wants the SQLSTATE for a login.
func wantRefused(t *testing.T, u *Upstream, l Login, code string) *LoginError {
	t.Helper()
	c, err := u.Dial(t.Context(), l)
	if err == nil {
		c.Close()
		t.Errorf("logged in as %s to %q, want %s", l.Role, l.Database, code)
		return nil
	}
	e, _ := errors.AsType[*LoginError](err)
	if e.SQLState() != code {
		t.Errorf("%s: got %s, want %s: %v", l.Role, e.SQLState(), code, err)
	}
	if strings.Contains(e.Public(), l.Role) || strings.Contains(e.Public(), "pg_hba") {
		t.Errorf("public text %q", e.Public())
	}
	return e
}

func withLeaf(t *testing.T, cert tls.Certificate) *tls.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	cert.Leaf = leaf
	return &cert
}

// plain tries a password over TLS without a certificate, beside the broker, and returns the
// SQLSTATE; "" when it gets in.
func plain(t *testing.T, s *pgserver.Server, role string) string {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), s.DSN(role, "orders")+" password=own sslmode=require sslcert='' sslkey=''")
	if err == nil {
		conn.Close(t.Context())
		return ""
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		t.Fatal(err)
	}
	return e.Code
}
