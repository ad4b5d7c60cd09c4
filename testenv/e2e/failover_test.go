package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// pair is a primary and the standby that follows it, which has all that a client was told was written.
type pair struct {
	w                *World
	primary, standby *documented
}

func (w *World) startPair(t *testing.T, version int) *pair {
	t.Helper()
	ctx := context.Background()
	d := w.startDocumented(t, version, map[string]string{"wal_sender_timeout": "5s", "log_statement": "all"})
	d.MustExec(t, "CREATE ROLE ledger_owner NOLOGIN")
	w.execOn(t, d, "CREATE TABLE ledger (writer int, n int, at timestamptz DEFAULT clock_timestamp(), port int DEFAULT inet_server_port()); GRANT ALL ON ledger TO app_rw, app_ro")
	standby, err := d.Standby(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { standby.Close() })
	d.MustExec(t, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	d.MustExec(t, "SELECT pg_reload_conf()")
	Poll(t, "synchronous replication", func() bool {
		state, err := d.QueryString(ctx, "SELECT coalesce(max(sync_state), '') FROM pg_stat_replication")
		return err == nil && state == "sync"
	})
	return &pair{w: w, primary: d, standby: &documented{Server: standby, w: w, roles: d.roles}}
}

func (w *World) execOn(t *testing.T, d *documented, sql string) {
	t.Helper()
	if err := d.ExecIn(context.Background(), "orders", sql); err != nil {
		t.Fatal(err)
	}
}

// options make a broker use both servers.
func (p *pair) options(t *testing.T, target, pool string) Options {
	o := p.primary.options(t, "certificate", pool)
	o.Hosts = []string{p.primary.Addr(), p.standby.Addr()}
	o.Upstream = fmt.Sprintf("target = %q", target)
	return o
}

// ledger is what writers were told: which of their statements were written, and when.
type ledger struct {
	beside

	mu    sync.Mutex
	acked map[[2]int]time.Time
	asked int
	codes map[string]int // SQLSTATE of what failed, "" for a connection that broke
}

// What writers say.
const (
	ledgerSet    = "SET TimeZone = 'Asia/Tokyo'"
	ledgerInsert = "INSERT INTO ledger (writer, n) VALUES ($1, $2)"
)

// write starts writers that insert one row after another, each row once, whatever becomes of it.
func (b *Broker) write(t *testing.T, writers int, role string) *ledger {
	l := &ledger{beside: beside{stop: make(chan struct{})}, acked: make(map[[2]int]time.Time), codes: make(map[string]int)}
	leaf := b.World.Client(role)
	for writer := range writers {
		l.done.Go(func() {
			var conn *pgx.Conn
			for n := 0; ; n++ {
				select {
				case <-l.stop:
					if conn != nil {
						conn.Close(context.Background())
					}
					return
				default:
				}
				var err error
				if conn == nil || conn.IsClosed() {
					if conn, err = b.TryConnect(leaf, role, "orders"); err != nil {
						l.note(writer, n, err)
						conn = nil
						continue
					}
					if _, err = conn.Exec(context.Background(), ledgerSet); err != nil { // of the session: the next server has it replayed
						l.note(writer, n, err)
						conn.Close(context.Background())
						continue
					}
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				_, err = conn.Exec(ctx, ledgerInsert, pgx.QueryExecModeExec, writer, n)
				cancel()
				l.note(writer, n, err)
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *ledger) note(writer, n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if err == nil {
		l.acked[[2]int{writer, n}] = time.Now()
	} else {
		l.codes[SQLState(err)]++
	}
}

// since is how many writes were acknowledged after a moment, and when the first of them was.
func (l *ledger) since(from time.Time) (n int, first time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, at := range l.acked {
		if at.After(from) {
			n++
			if first.IsZero() || at.Before(first) {
				first = at
			}
		}
	}
	return n, first
}

// least is how many writes the one of the writers who got fewest had acknowledged after a moment.
func (l *ledger) least(from time.Time, writers int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	each := make([]int, writers)
	for key, at := range l.acked {
		if at.After(from) {
			each[key[0]]++
		}
	}
	return slices.Min(each)
}

func (l *ledger) failures() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]int)
	for code, n := range l.codes {
		out[code] = n
	}
	return out
}

// check compares the ledger with the table: every acknowledged row is there, and none twice.
func (l *ledger) check(t *testing.T, d *documented) {
	t.Helper()
	conn, err := d.Connect(context.Background(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(context.Background(), "SELECT writer, n, count(*) FROM ledger GROUP BY writer, n")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[[2]int]int)
	for rows.Next() {
		var writer, n, count int
		if err := rows.Scan(&writer, &n, &count); err != nil {
			t.Fatal(err)
		}
		found[[2]int{writer, n}] = count
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	lost, twice := 0, 0
	for key := range l.acked {
		if found[key] == 0 {
			lost++
		}
	}
	for _, count := range found {
		if count > 1 {
			twice++
		}
	}
	if lost > 0 || twice > 0 {
		t.Errorf("%d acknowledged writes are lost, %d were run twice", lost, twice)
	}
	t.Logf("%d writes asked for, %d acknowledged, %d rows, failures by SQLSTATE %v", l.asked, len(l.acked), len(found), l.codes)
}

// resumeLimit is ten times the figure that a failover has to keep: writes resume 3 s after the
// promotion.
const resumeLimit = 30 * time.Second

// TestFailoverUnderLoad ends the server connections of writers, kills the primary under them and promotes the
// standby. Nobody's write is lost, and the record has what both servers logged.
func TestFailoverUnderLoad(t *testing.T) {
	for _, version := range bothEnds {
		for mode, pool := range map[string]string{"session": "size = 20", "transaction": transactions(4)} {
			t.Run(fmt.Sprintf("PostgreSQL %d/%s", version, mode), func(t *testing.T) {
				w := Shared(t)
				p := w.startPair(t, version)
				o := p.options(t, "read-write", pool)
				o.Audit = strict
				b := w.Start(t, o)
				ctx := context.Background()
				const writers = 8
				l := b.write(t, writers, "app_rw")
				Poll(t, "writes", func() bool { n, _ := l.since(time.Time{}); return n > 200 })
				for range 3 { // statements of which nothing was sent go to another connection
					now := time.Now()
					p.primary.MustExec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app_rw'")
					Poll(t, "every writer to go on", func() bool { return l.least(now, writers) >= 5 })
				}
				killed := time.Now()
				if err := p.primary.Stop(ctx, pgserver.Kill); err != nil {
					t.Fatal(err)
				}
				if err := p.standby.Promote(ctx); err != nil {
					t.Fatal(err)
				}
				promoted := time.Now()
				Poll(t, "writes to resume", func() bool { n, _ := l.since(promoted); return n > 200 })
				_, first := l.since(promoted)
				resumed := max(0, first.Sub(promoted))
				t.Logf("killed; promoted after %v; first write %v after that", promoted.Sub(killed), resumed)
				if resumed > resumeLimit {
					t.Errorf("writes resumed %v after the promotion, want %v", resumed, resumeLimit)
				}
				Poll(t, "every writer to write as before", func() bool { return l.least(promoted, writers) >= 20 })
				p.demotedGetsNoWrites(t, b, l)
				l.end()
				l.check(t, p.standby)
				p.recordAgrees(t, b)
			})
		}
	}
}

// demotedGetsNoWrites brings the killed primary back as a standby, on the address that logins try
// first: nobody notices.
func (p *pair) demotedGetsNoWrites(t *testing.T, b *Broker, l *ledger) {
	t.Helper()
	ctx := context.Background()
	before := l.failures()
	if _, err := p.primary.WriteFile("data/standby.signal", nil); err != nil {
		t.Fatal(err)
	}
	if err := p.primary.Run(ctx); err != nil {
		t.Fatal(err)
	}
	leaf := p.w.Client("app_ro")
	for range 10 { // of another role: each the first login of its pool, or one after it
		c, err := b.TryConnect(leaf, "app_ro", "orders")
		if err != nil {
			t.Errorf("a login beside the demoted primary: %v", err)
			continue
		}
		if port := one[int](t, c, "insert into ledger (writer, n) values (-1, (random() * 2e9)::int) returning port"); port != p.standby.Port {
			t.Errorf("a write went to port %d, want the new primary's %d", port, p.standby.Port)
		}
		c.Close(ctx)
	}
	now := time.Now()
	Poll(t, "more writes", func() bool { n, _ := l.since(now); return n > 200 })
	if after := l.failures(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("writes failed after the demoted primary came back: %v, before %v", after, before)
	}
}
