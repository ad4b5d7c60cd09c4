package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// disturbance is clients at work while everything around them breaks.
type disturbance struct {
	t       *testing.T
	world   *World
	broker  *Broker
	cutter  *cutter
	console *pgx.Conn
	clients []*sufferer
	until   time.Time
	random  *rand.Rand // the disturber's
	crls    int64      // number of the last CRL
	done    map[string]int
	sizes   []string       // of the pool in the configuration: as it is, and another
	asides  sync.WaitGroup // cancel requests

	mu    sync.Mutex
	found []string
}

func (d *disturbance) report(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.found = append(d.found, fmt.Sprintf(format, args...))
}

func (d *disturbance) over() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.found) > 0 || time.Now().After(d.until)
}

// state is what PostgreSQL and the pools are doing.
func (d *disturbance) state() string {
	text, err := d.world.PG.QueryString(context.Background(), `select string_agg(concat_ws(' ', pid, usename, state, wait_event, left(query, 80)), E'\n')
		from pg_stat_activity where usename in ('alice', 'bob')`)
	return fmt.Sprint(text, err)
}

// exec runs SQL as superuser, on a server that may be away.
func (d *disturbance) exec(sql string) { _ = d.world.PG.Exec(context.Background(), sql) }

// command gives the console one, which may take a second, and fail where what it is about has gone.
func (d *disturbance) command(sql string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := d.console.PgConn().Exec(ctx, sql).ReadAll(); err != nil && SQLState(err) == "" {
		d.report("%s: %v", sql, err)
	}
}

// disturbing are what may happen, with how often.
var disturbing = []struct {
	name   string
	weight int
	do     func(d *disturbance)
}{
	{"terminate one", 8, func(d *disturbance) {
		d.exec("select pg_terminate_backend(pid) from pg_stat_activity where usename in ('alice', 'bob') order by random() limit 1")
	}},
	{"terminate all", 2, func(d *disturbance) {
		d.exec("select pg_terminate_backend(pid) from pg_stat_activity where usename in ('alice', 'bob')")
	}},
	{"cancel", 3, func(d *disturbance) {
		d.exec("select pg_cancel_backend(pid) from pg_stat_activity where usename in ('alice', 'bob') and state = 'active'")
	}},
	{"cut", 10, func(d *disturbance) {
		d.cutter.cut(d.random, 1+d.random.IntN(2), []int{0, 300, 40000}[d.random.IntN(3)])
	}},
	{"fast restart", 1, func(d *disturbance) { d.restart(pgserver.Fast) }},
	{"immediate restart", 1, func(d *disturbance) { d.restart(pgserver.Immediate) }},
	{"RECONNECT", 4, func(d *disturbance) { d.command("RECONNECT orders") }},
	{"RELOAD", 3, func(d *disturbance) { d.command("RELOAD") }},
	{"RELOAD, changed", 3, func(d *disturbance) {
		d.broker.EditConfig(d.t, d.sizes[0], d.sizes[1])
		slices.Reverse(d.sizes)
		d.command("RELOAD")
	}},
	{"KILL SESSION", 4, (*disturbance).killOne},
	{"KILL", 1, func(d *disturbance) { d.command("KILL orders"); d.command("RESUME orders") }},
	{"PAUSE", 2, (*disturbance).pause},
	{"LOCK", 2, (*disturbance).lock},
	{"CRL", 2, (*disturbance).revoke},
	{"stopped broker", 1, func(d *disturbance) {
		d.broker.Signal(syscall.SIGSTOP)
		time.Sleep(time.Duration(d.random.IntN(100)) * time.Millisecond)
		d.broker.Signal(syscall.SIGCONT)
	}},
	{"PostgreSQL's settings", 1, func(d *disturbance) {
		d.exec(fmt.Sprintf("alter system set datestyle = '%s'", []string{"iso, mdy", "iso, dmy"}[d.random.IntN(2)]))
		d.exec("select pg_reload_conf()")
	}},
}

func (d *disturbance) restart(mode pgserver.Mode) {
	if err := d.world.PG.Restart(context.Background(), mode); err != nil {
		d.report("restart: %v", err)
	}
}

func (d *disturbance) killOne() {
	rows, err := d.console.Query(context.Background(), "SHOW SESSIONS", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		d.report("SHOW SESSIONS: %v", err)
		return
	}
	list, err := pgx.CollectRows(rows, pgx.RowToMap)
	if err != nil {
		d.report("SHOW SESSIONS: %v", err)
		return
	}
	list = slices.DeleteFunc(list, func(s map[string]any) bool { return s["role"] != "alice" && s["role"] != "bob" })
	if len(list) > 0 {
		d.command(fmt.Sprintf("KILL SESSION '%s'", list[d.random.IntN(len(list))]["sid"]))
	}
}

// pause waits for the open transactions for a while only.
func (d *disturbance) pause() {
	other, err := d.broker.TryConnect(d.world.admin(d.t, "Operators"), "root", "pgsignet")
	if err != nil {
		return // it has its own limit, which a machine that stops exceeds
	}
	defer other.Close(context.Background())
	paused := make(chan struct{})
	go func() {
		defer close(paused)
		_, _ = other.PgConn().Exec(context.Background(), "PAUSE orders").ReadAll() // RESUME ends it, if nothing has
	}()
	select {
	case <-paused:
	case <-time.After(time.Duration(d.random.IntN(300)) * time.Millisecond):
	}
	d.command("RESUME orders")
	<-paused
	d.command("RESUME orders") // it may have been done in between
}

func (d *disturbance) lock() {
	cert, _ := d.clients[d.random.IntN(len(d.clients))].config.GetClientCertificate(nil)
	target := fmt.Sprintf("SHA256 '%x'", sha256.Sum256(cert.Certificate[0]))
	d.command("LOCK CERT " + target)
	time.Sleep(time.Duration(d.random.IntN(50)) * time.Millisecond)
	d.command("UNLOCK CERT " + target)
}

// revoke revokes a certificate for a while.
func (d *disturbance) revoke() {
	cert, _ := d.clients[d.random.IntN(len(d.clients))].config.GetClientCertificate(nil)
	for _, revoked := range [][]pki.Revoked{{{Serial: serialOf(d.t, cert)}}, nil} {
		d.crls++
		d.broker.WriteCRL(d.t, "clients.crl", d.world.Clients, pki.CRLShape{Number: number(d.crls), Revoked: revoked})
		d.command("RELOAD")
	}
}

func serialOf(t *testing.T, cert *tls.Certificate) *big.Int {
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.SerialNumber
}

// disturb does one after another until the time is over.
func (d *disturbance) disturb() {
	total := 0
	for _, a := range disturbing {
		total += a.weight
	}
	for !d.over() {
		n := d.random.IntN(total)
		for _, a := range disturbing {
			if n -= a.weight; n < 0 {
				a.do(d)
				d.done[a.name]++
				break
			}
		}
		time.Sleep(time.Duration(d.random.IntN(120)) * time.Millisecond)
	}
	d.command("RESUME orders")
}

// disturbFor is how long clients are disturbed in each mode: PGSIGNET_DISTURB, or two seconds.
func disturbFor(t *testing.T) time.Duration {
	s := os.Getenv("PGSIGNET_DISTURB")
	if s == "" {
		return 2 * time.Second
	}
	run, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// disturbable is a world with a server of its own, which may be restarted.
func (w *World) disturbable(t *testing.T) *World {
	other := *w
	other.PG = pgserver.Shared(t, "disturbed", w.serverOptions)
	if _, err := other.PG.QueryString(context.Background(), "select 'alice'::regrole"); err != nil {
		other.createRoles(t)
	}
	other.Exec(t, "orders", "drop table if exists disturbed; create table disturbed (mark text); grant all on disturbed to alice, bob")
	return &other
}

// Clients whose server connections, sessions, certificates and server are ended under them read well-formed answers
// that are their own, or an error and the end; nothing runs twice, half or in another's name, nothing hangs, nothing is
// left behind, and the record says what they were told. PGSIGNET_DISTURB says how long, PGSIGNET_DIFF_SEED what happens.
func TestDisturbedClients(t *testing.T) {
	w := Shared(t).disturbable(t)
	for _, tt := range []struct{ mode, audit string }{{"transaction", strict}, {"session", `level = "full"`}} {
		t.Run(tt.mode, func(t *testing.T) {
			seed := diffSeed(t)
			d := &disturbance{t: t, world: w, cutter: newCutter(t, w.PG.Addr()), random: rand.New(rand.NewPCG(seed, 0)), crls: 1, done: make(map[string]int)}
			d.sizes = map[string][]string{"transaction": {"size = 4", "size = 3"}, "session": {"size = 20", "size = 19"}}[tt.mode]
			o := patient(Options{Rules: admins, Pool: fmt.Sprintf("mode = %q\n%s\nlogin_check = \"100ms\"\n", tt.mode, d.sizes[0]), Host: d.cutter.Addr().String(),
				Audit: tt.audit, Listener: `crl = ["clients.crl"]`, Files: map[string]string{"clients.crl": string(CRL(t, w.Clients, pki.CRLShape{}))}})
			d.broker = w.startConsole(t, o)
			d.console = d.broker.Console(t)
			for i := range 12 {
				role := []string{"alice", "bob"}[i%2]
				leaf := w.issue(t, w.Clients, pki.Shape{CN: role})
				d.clients = append(d.clients, &sufferer{d: d, random: rand.New(rand.NewPCG(seed, uint64(i+1))), number: i, role: role, config: d.broker.TLSConfig(leaf),
					fates: map[string]fate{}, ends: map[string]string{}, codes: map[string]int{}})
			}
			d.until = time.Now().Add(disturbFor(t))
			var all sync.WaitGroup
			for _, c := range d.clients {
				all.Go(c.run)
			}
			d.disturb()
			all.Wait()
			d.asides.Wait()
			d.rest()
			d.compareRows()
			d.compareRecord()
			d.sum(seed)
			if len(d.found) > 0 {
				t.Errorf("%s", strings.Join(d.found[:min(len(d.found), 10)], "\n"))
			}
		})
	}
}

// rest waits until nothing is left of the clients.
func (d *disturbance) rest() {
	d.cutter.calm()
	d.exec("alter system reset datestyle")
	Poll(d.t, "the sessions to end", func() bool {
		busy := 0
		for _, p := range show(d.t, d.console, "POOLS", pgx.QueryExecModeSimpleProtocol) {
			if p["database"] == "orders" {
				for _, column := range []string{"cl_active", "cl_waiting", "sv_active", "sv_login", "sv_tested"} {
					if fmt.Sprint(p[column]) != "0" {
						busy++
					}
				}
			}
		}
		return busy == 0
	})
	Poll(d.t, "no transaction to be left open", func() bool {
		n, err := d.world.PG.QueryString(context.Background(), "select count(*)::text from pg_stat_activity where usename in ('alice', 'bob') and state <> 'idle'")
		return err == nil && n == "0"
	})
	for _, role := range []string{"alice", "bob"} {
		c := d.freshSession(role)
		if who := one[string](d.t, c, "select current_user || ' ' || current_setting('work_mem')"); who != role+" 4MB" {
			d.report("a fresh session of %s has %s", role, who)
		}
		c.Close(context.Background())
	}
	limit := map[bool]int{true: 10, false: 40}[d.broker.mode() == "transaction"]
	Poll(d.t, "no server connection to be left", func() bool { return d.world.Backends(d.t, "alice")+d.world.Backends(d.t, "bob") <= limit })
}

// freshSession logs in. For a second the answer may be the last one of a server that was disturbed.
func (d *disturbance) freshSession(role string) (c *pgx.Conn) {
	d.t.Helper()
	Poll(d.t, "a fresh session of "+role, func() bool {
		var err error
		c, err = d.broker.TryConnect(d.world.Client(role), role, "orders")
		if err != nil && SQLState(err) != "08006" {
			d.t.Fatal(err)
		}
		return err == nil
	})
	return c
}

// compareRows compares what the clients know with the table.
func (d *disturbance) compareRows() {
	conn, err := d.world.PG.Connect(context.Background(), "orders")
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(context.Background(), "select mark, count(*) from disturbed group by mark")
	if err != nil {
		d.t.Fatal(err)
	}
	table := make(map[string]int)
	for rows.Next() {
		var mark string
		var n int
		if err := rows.Scan(&mark, &n); err != nil {
			d.t.Fatal(err)
		}
		table[mark] = n
	}
	if err := rows.Err(); err != nil {
		d.t.Fatal(err)
	}
	if err := d.world.PG.ExecIn(context.Background(), "orders", "truncate disturbed"); err != nil {
		d.t.Fatal(err)
	}
	known := make(map[string]bool)
	for _, c := range d.clients {
		for mark, f := range c.fates {
			known[mark] = true
			switch n := table[mark]; {
			case n > 1:
				d.report("%s was written %d times", mark, n)
			case f == committed && n == 0:
				d.report("%s was committed and is not there", mark)
			case f == rolledBack && n > 0:
				d.report("%s was rolled back and is there", mark)
			}
		}
		for _, g := range c.groups {
			n := 0
			for _, mark := range g {
				n += table[mark]
			}
			if n != 0 && n != len(g) {
				d.report("of the transaction %v %d rows are there", g, n)
			}
		}
	}
	for mark := range table {
		if !known[mark] {
			d.report("%s was asked for by nobody", mark)
		}
	}
}

// sum logs what has happened.
func (d *disturbance) sum(seed uint64) {
	codes, answers, sessions := make(map[string]int), 0, 0
	for _, c := range d.clients {
		sessions += c.logins
		answers += len(c.answers)
		for code, n := range c.codes {
			codes[code] += n
		}
	}
	d.t.Logf("seed %d: %d answers in %d sessions: %v\ndone: %v", seed, answers, sessions, codes, d.done)
}
