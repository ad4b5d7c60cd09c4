package pgserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"regexp"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// serverTLS is a server certificate that asks for client certificates of env.Clients.
func serverTLS(t *testing.T, env *pki.Env) pgserver.TLS {
	t.Helper()
	leaf := env.Server()
	key, err := leaf.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return pgserver.TLS{Cert: string(leaf.PEM()), Key: string(key), CA: string(env.Clients.CertPEM())}
}

// dial logs in over the TCP port with a client certificate, nil for none.
func dial(t *testing.T, s *pgserver.Server, env *pki.Env, role string, leaf *pki.Leaf) (*pgx.Conn, error) {
	t.Helper()
	config, err := pgx.ParseConfig(s.DSN(role, "postgres") + " sslmode=require")
	if err != nil {
		t.Fatal(err)
	}
	config.TLSConfig = &tls.Config{RootCAs: env.Servers.Pool(), ServerName: "127.0.0.1"}
	if leaf != nil {
		config.TLSConfig.Certificates = []tls.Certificate{leaf.TLS()}
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	}
	return conn, err
}

func TestEveryVersionTakesCertificates(t *testing.T) {
	for _, version := range []int{15, 16, 17, 18} {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			env := pki.New(t)
			s := ownServer(t, pgserver.Options{Version: version, TLS: serverTLS(t, env)})
			if s.Major != version {
				t.Errorf("got PostgreSQL %d, want %d", s.Major, version)
			}
			if err := s.CreateRole(t.Context(), "alice"); err != nil {
				t.Fatal(err)
			}
			mark := s.LogSize()
			conn, err := dial(t, s, env, "alice", env.Client("alice"))
			if err != nil {
				t.Fatal(err)
			}
			var who string
			if err := conn.QueryRow(t.Context(), "SELECT current_user::text").Scan(&who); err != nil || who != "alice" {
				t.Errorf("current_user is %q, %v, want alice", who, err)
			}
			logins, err := s.Authentications(mark)
			if err != nil || len(logins) != 1 || logins[0] != (pgserver.Authentication{Identity: "CN=alice", Method: "cert"}) {
				t.Errorf("log tells of %+v, %v, want one login of CN=alice by cert", logins, err)
			}
		})
	}
}

func TestWhoHasNoCertificateStaysOut(t *testing.T) {
	env := pki.New(t)
	s := ownServer(t, pgserver.Options{TLS: serverTLS(t, env)})
	if err := s.CreateRole(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		leaf *pki.Leaf
		code string
	}{
		{"none", nil, "28000"},
		{"another person's", env.Client("bob"), "28000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := dial(t, s, env, "alice", tt.leaf)
			pgErr, ok := errors.AsType[*pgconn.PgError](err)
			if !ok || pgErr.Code != tt.code {
				t.Errorf("got %v, want SQLSTATE %s", err, tt.code)
			}
		})
	}
}

func TestIdentMapAndReload(t *testing.T) {
	env := pki.New(t)
	s := ownServer(t, pgserver.Options{TLS: serverTLS(t, env)})
	if err := s.CreateRole(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	broker := env.Client("pgsignet-broker")
	if _, err := dial(t, s, env, "alice", broker); err == nil {
		t.Fatal("the broker's certificate logs in as alice before the map allows it")
	}
	if err := s.SetIdent(t.Context(), "pgsignet pgsignet-broker alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, s, env, "alice", broker); err != nil {
		t.Error(err)
	}
}

func TestRevokedClientStaysOut(t *testing.T) {
	env := pki.New(t)
	leaf := env.Client("alice")
	crl, err := env.Clients.CRLPEM(pki.CRLShape{Revoked: []pki.Revoked{pki.Revoke(leaf)}})
	if err != nil {
		t.Fatal(err)
	}
	material := serverTLS(t, env)
	material.CRL = string(crl)
	s := ownServer(t, pgserver.Options{TLS: material})
	if err := s.CreateRole(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	mark := s.LogSize()
	if _, err := dial(t, s, env, "alice", leaf); err == nil {
		t.Error("a revoked certificate logged in")
	}
	if _, err := s.WaitLog(t.Context(), mark, regexp.MustCompile("certificate (verify failed|revoked)")); err != nil {
		t.Errorf("the log does not say so: %v", err)
	}
	if _, err := dial(t, s, env, "alice", env.Client("alice")); err != nil {
		t.Errorf("a fresh certificate: %v", err)
	}
}

func TestStandbyFollowsAndIsPromoted(t *testing.T) {
	env := pki.New(t)
	primary := ownServer(t, pgserver.Options{TLS: serverTLS(t, env)})
	primary.MustExec(t, "CREATE TABLE followed (i int)")
	standby, err := primary.Standby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Close(); err != nil {
			t.Error(err)
		}
	})
	primary.MustExec(t, "INSERT INTO followed VALUES (7); CREATE ROLE alice LOGIN")
	if err := standby.CaughtUp(t.Context(), primary); err != nil {
		t.Fatal(err)
	}
	if got, err := standby.QueryString(t.Context(), "SELECT i::text || pg_is_in_recovery() FROM followed"); err != nil || got != "7true" {
		t.Errorf("standby answers %q, %v, want 7true", got, err)
	}
	if _, err := dial(t, standby, env, "alice", env.Client("alice")); err != nil {
		t.Errorf("certificate at the standby: %v", err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	standby.MustExec(t, "INSERT INTO followed VALUES (8)")
}
