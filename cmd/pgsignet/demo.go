package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/pgsignet/pgsignet/broker"
	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

func newDemoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show a login by certificate against a real PostgreSQL on this machine",
		Long: `Demo makes a PKI, starts PostgreSQL and a broker on loopback, logs in two people and a
service by certificate, shows one refusal and the audit's lines, and stays up until
Ctrl-C; without a terminal on standard input it ends by itself. It leaves nothing behind.

It needs the programs of a PostgreSQL server (Debian: postgresql-15) or npm.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return runDemo(ctx, cmd.OutOrStdout(), isTerminal(cmd.InOrStdin()))
		},
	}
}

// demo is a running demonstration.
type demo struct {
	dir string
	out io.Writer
	pki *demoPKI
	pg  *pgserver.Server

	port    string
	stop    context.CancelFunc
	stopped chan error
}

func runDemo(ctx context.Context, out io.Writer, stay bool) (err error) {
	dir, err := os.MkdirTemp("", "pgsignet-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d := &demo{dir: dir, out: out}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.pg.Close()) }()
	if err := d.startBroker(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stopBroker()) }()
	if err := d.show(ctx); err != nil {
		return err
	}
	if stay && ctx.Err() == nil {
		d.section("Try it yourself; Ctrl-C ends the demo and removes everything")
		fmt.Fprintf(out, "  psql %q\n\n", d.dsn(d.pki.visitors[0], d.pki.visitors[0].role))
		<-ctx.Done()
		fmt.Fprintln(out)
	}
	return nil
}

// prepare makes the certificates and starts PostgreSQL.
func (d *demo) prepare(ctx context.Context) (err error) {
	d.section("Certificates and PostgreSQL")
	if d.pki, err = newDemoPKI(filepath.Join(d.dir, "pki")); err != nil {
		return err
	}
	fmt.Fprintln(d.out, "  three CAs: for clients, for servers, for the broker's own logins")
	d.pg, err = pgserver.New(ctx, pgserver.Options{
		TLS: pgserver.TLS{Cert: d.pki.postgres.CertFile, Key: d.pki.postgres.KeyFile, CA: d.pki.brokerCA.CertFile()},
		HBA: demoHBA, Ident: demoIdent,
		Logf: func(format string, args ...any) { fmt.Fprintf(d.out, "  "+format+"\n", args...) },
	})
	if err != nil {
		return err
	}
	for file, lines := range map[string][]string{"pg_hba.conf": demoHBA, "pg_ident.conf": demoIdent} {
		for _, line := range lines {
			fmt.Fprintf(d.out, "  %-14s %s\n", file, line)
		}
	}
	return d.fill(ctx)
}

// demoHBA lets in nobody but the broker, by its certificate; demoIdent says as which roles.
var (
	demoHBA = []string{
		"hostssl all all 127.0.0.1/32 cert map=pgsignet",
		"host    all all all          reject",
	}
	demoIdent = []string{"pgsignet broker alice", "pgsignet broker bob", "pgsignet broker billing_rw"}
)

// fill makes the roles and a table that each of them may read.
func (d *demo) fill(ctx context.Context) error {
	for _, role := range []string{"alice", "bob", "billing_rw"} {
		if err := d.pg.CreateRole(ctx, role); err != nil {
			return err
		}
	}
	if err := d.pg.CreateDatabase(ctx, "orders", "billing_rw"); err != nil {
		return err
	}
	return d.pg.ExecIn(ctx, "orders", `
		CREATE TABLE orders AS SELECT n AS id, 'item ' || n AS item FROM generate_series(1, 42) n;
		GRANT SELECT ON orders TO alice, bob; ALTER TABLE orders OWNER TO billing_rw;`)
}

// startBroker serves the demo's configuration in this process, as `pgsignet serve` does.
func (d *demo) startBroker(ctx context.Context) error {
	d.section("The broker's configuration")
	text := demoConfig(d.pg.Addr())
	for line := range strings.Lines(text) {
		fmt.Fprint(d.out, "  ", line)
	}
	path := filepath.Join(d.dir, "pgsignet.hcl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	load := config.Source{Paths: []string{path}}.Load
	cfg, problems := load()
	if problems.HasErrors() {
		var b bytes.Buffer
		problems.WriteText(&b, 100, false)
		return fmt.Errorf("the demo's own configuration: %s", &b)
	}
	log, err := os.Create(filepath.Join(d.dir, "pgsignet.log"))
	if err != nil {
		return err
	}
	ctx, d.stop = context.WithCancel(ctx)
	d.stopped = make(chan error, 1)
	listening := make(chan string, 1)
	go func() {
		defer log.Close()
		d.stopped <- serve(ctx, cfg, load, log, func(s *broker.Server) { listening <- s.Addr("main").String() })
	}()
	select {
	case addr := <-listening:
		_, d.port, _ = strings.Cut(addr, ":")
		return nil
	case err := <-d.stopped:
		return errors.Join(errors.New("the broker did not start"), err)
	}
}

func (d *demo) stopBroker() error {
	d.stop()
	return <-d.stopped
}

// show logs everybody in, shows one refusal, and prints what the audit holds of it.
func (d *demo) show(ctx context.Context) error {
	d.section("Logins: nobody has a password")
	fmt.Fprintf(d.out, "  %-46s %-12s %-12s %s\n", "certificate", "role", "current_user", "rows in orders")
	for _, v := range d.pki.visitors {
		row, err := d.query(ctx, v, v.role)
		if err != nil {
			return fmt.Errorf("login of %s: %w", v.shows, err)
		}
		user, rows, _ := strings.Cut(row, "|")
		fmt.Fprintf(d.out, "  %-46s %-12s %-12s %s\n", v.shows, v.role, user, rows)
	}
	bob := d.pki.visitors[1]
	d.section("A refusal: bob's certificate asks for the role billing_rw")
	_, err := d.query(ctx, bob, "billing_rw")
	if err == nil {
		return errors.New("bob was let in as billing_rw")
	}
	fmt.Fprintf(d.out, "  client: %s\n", strings.TrimSpace(err.Error()))
	d.section("The audit: who, with which certificate, as whom, and why not")
	return d.printAudit()
}

const demoQuery = "select current_user, count(*) from orders"

// query runs the demo's query with psql, or with pgx when there is no psql.
func (d *demo) query(ctx context.Context, v visitor, role string) (row string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	psql, err := exec.LookPath("psql")
	if err != nil {
		return d.queryPgx(ctx, v, role)
	}
	cmd := exec.CommandContext(ctx, psql, "-X", "-A", "-t", "-d", d.dsn(v, role), "-c", demoQuery)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s", errs.String())
	}
	return strings.TrimSpace(string(out)), nil
}

func (d *demo) queryPgx(ctx context.Context, v visitor, role string) (string, error) {
	conn, err := pgx.Connect(ctx, d.dsn(v, role))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	var user string
	var n int
	if err := conn.QueryRow(ctx, demoQuery).Scan(&user, &n); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s|%d", user, n), nil
}

// dsn is a connection string for psql and every libpq driver.
func (d *demo) dsn(v visitor, role string) string {
	return fmt.Sprintf("host=localhost port=%s dbname=orders user=%s sslmode=verify-full sslrootcert=%s sslcert=%s sslkey=%s",
		d.port, role, d.pki.serversCA.CertFile(), v.CertFile, v.KeyFile)
}

func (d *demo) section(title string) { fmt.Fprintf(d.out, "\n%s\n\n", title) }

// isTerminal says whether r is a terminal, so that somebody can press Ctrl-C.
func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
