package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// poolSize is how many server connections each proxy may have; rolePoolSize is for each role, where
// there are many.
const (
	poolSize     = 20
	rolePoolSize = 1
)

// world is what all rows share: certificates, PostgreSQL, and both proxies' configurations.
type world struct {
	settings  settings
	dir       string
	pg        *pgserver.Server
	pgbouncer string
	versions  []string
}

func newWorld(ctx context.Context, s settings) (_ *world, err error) {
	w := &world{settings: s}
	if w.dir, err = os.MkdirTemp("", "pgsignet-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if err := os.Chmod(w.dir, 0o755); err != nil { // PgBouncer runs as another user
		return nil, err
	}
	if err := w.makeCertificates(); err != nil {
		return nil, err
	}
	if w.pgbouncer, err = findPgBouncer(ctx); err != nil {
		return nil, err
	}
	if err := w.startPostgres(ctx); err != nil {
		return nil, err
	}
	return w, w.findVersions()
}

func (w *world) close() error {
	var err error
	if w.pg != nil {
		err = w.pg.Close()
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

// makeCertificates makes three CAs and a certificate each for both servers, the client, and the
// proxies' logins upstream.
func (w *world) makeCertificates() error {
	issued := map[string]pki.Shape{
		"servers/server": {CN: "localhost", DNS: []string{"localhost"}, ServerAuth: true},
		"clients/bench":  {CN: "bench"},
		"broker/broker":  {CN: "broker"},
	}
	cas := map[string]*pki.CA{}
	for _, name := range []string{"servers", "clients", "broker"} {
		ca, err := pki.NewRoot(pki.Shape{CN: "bench " + name + " CA"})
		if err != nil {
			return err
		}
		cas[name] = ca
		if _, err := ca.WriteCA(w.dir, name+"-ca"); err != nil {
			return err
		}
	}
	for path, shape := range issued {
		by, name, _ := strings.Cut(path, "/")
		leaf, err := cas[by].Issue(shape)
		if err != nil {
			return err
		}
		if _, _, err := leaf.Write(w.dir, name); err != nil {
			return err
		}
	}
	if err := w.issueRoles(cas["clients"]); err != nil {
		return err
	}
	// PgBouncer gets copies that its user owns: a key must not be readable by others.
	return w.giveAway("server.key", "broker.key")
}

func (w *world) startPostgres(ctx context.Context) (err error) {
	w.pg, err = pgserver.New(ctx, pgserver.Options{
		TLS:      pgserver.TLS{Cert: w.file("server.crt"), Key: w.file("server.key"), CA: w.file("broker-ca.crt")},
		HBA:      []string{"hostssl all all 127.0.0.1/32 cert map=bench"},
		Ident:    identLines(),
		Settings: map[string]string{"max_connections": fmt.Sprint(maxRoles + 200), "shared_buffers": "256MB"},
	})
	if err != nil {
		return err
	}
	if err := w.pg.CreateRole(ctx, "bench"); err != nil {
		return err
	}
	if err := w.pg.CreateDatabase(ctx, "bench", "bench"); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(w.pg.Install.Bin, "pgbench"), "-i", "-q", "-s", "1", "-h", w.pg.SocketDir,
		"-p", fmt.Sprint(w.pg.Port), "-U", pgserver.Superuser, "bench")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgbench -i: %w\n%s", err, out)
	}
	if err := w.pg.ExecIn(ctx, "bench", `GRANT ALL ON ALL TABLES IN SCHEMA public TO bench;
		CREATE TABLE wide AS SELECT n, repeat('x', 1000) AS pad FROM generate_series(1, 20000) n;
		GRANT SELECT ON wide TO bench; ANALYZE wide`); err != nil {
		return err
	}
	if err := w.createRoles(ctx); err != nil {
		return err
	}
	return os.WriteFile(w.file("result20mb.sql"), []byte("select n, pad from wide;\n"), 0o644)
}

func (w *world) findVersions() error {
	for _, args := range [][]string{
		{filepath.Join(w.pg.Install.Bin, "postgres"), "--version"}, {w.pgbouncer, "--version"}, {w.settings.bin, "version"},
	} {
		out, err := exec.Command(args[0], args[1:]...).Output()
		if err != nil {
			return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		w.versions = append(w.versions, line)
	}
	return nil
}

const brokerConfig = `
node = "bench"
listener "main" {
  address   = "127.0.0.1:%[1]d"
  cert_file = "server.crt"
  key_file  = "server.key"
  client_ca = ["clients-ca.crt"]
  min_tls   = "1.3"
  max_clients = 12000
}
upstream "pg" {
  hosts       = ["%[2]s"]
  ca_file     = "servers-ca.crt"
  server_name = "localhost"
  max_connections = %[9]d
  credential "certificate" {
    cert_file = "broker.crt"
    key_file  = "broker.key"
  }
  pool {
    mode = "transaction"
    size = %[3]d
    %[4]s
  }
}
database "bench" {
  upstream = "pg"
  %[5]s
}
map "bench" {
  match { cn = "/^(bench|role[0-9]+)$" }
  role      = "$1"
  databases = ["bench"]
  %[6]s
}
audit {
  directory = "%[7]s"
  level     = "%[8]s"
  delivery  = "%[10]s"
}
admin { address = "" }
log { level = "warn" }
`

// writeBrokerConfig writes the configuration of one kind: plain, audited, strict, always, token or roles.
func (w *world) writeBrokerConfig(kind string, port int) (string, error) {
	pool, database, rule, level, delivery := "", "", "", "session", "best_effort"
	size, connections := poolSize, 3*poolSize
	switch kind {
	case "audited":
		level = "statement"
	case "strict":
		level, delivery = "statement", "strict"
	case "always":
		pool = `reset = "always"`
	case "roles":
		size, connections = rolePoolSize, maxRoles+poolSize
	case "token":
		database = `identity_key = "identity.key"`
		rule = "session {\n    stamp = [\"token\"]\n  }"
		if err := os.WriteFile(w.file("identity.key"), []byte(strings.Repeat("k", 48)), 0o600); err != nil {
			return "", err
		}
	}
	audit, err := os.MkdirTemp(w.dir, "audit")
	if err != nil {
		return "", err
	}
	path := w.file("pgsignet.hcl")
	text := fmt.Sprintf(brokerConfig, port, w.pg.Addr(), size, pool, database, rule, audit, level, connections, delivery)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

const bouncerConfig = `
[databases]
bench = host=localhost port=%[2]d dbname=bench
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %[1]d
unix_socket_dir =
auth_type = cert
auth_file = users.txt
pool_mode = transaction
default_pool_size = %[3]d
max_client_conn = 12000
max_prepared_statements = 500
client_tls_sslmode = verify-full
client_tls_ca_file = clients-ca.crt
client_tls_cert_file = server.crt
client_tls_key_file = bouncer-server.key
client_tls_protocols = tlsv1.3
server_tls_sslmode = verify-full
server_tls_ca_file = servers-ca.crt
server_tls_cert_file = broker.crt
server_tls_key_file = bouncer-broker.key
server_tls_protocols = tlsv1.3
log_connections = 0
log_disconnections = 0
%[4]s
`

func (w *world) writeBouncerConfig(kind string, port int) (string, error) {
	if err := w.writeUsers(); err != nil {
		return "", err
	}
	more, size := "", poolSize
	switch kind {
	case "always":
		more = "server_reset_query_always = 1"
	case "roles":
		size = rolePoolSize
	}
	path := w.file("pgbouncer.ini")
	text := fmt.Sprintf(bouncerConfig, port, w.pg.Port, size, more)
	return path, os.WriteFile(path, []byte(text), 0o644)
}
