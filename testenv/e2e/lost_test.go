package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// terminate ends every backend of a role and waits until they are gone.
func (d *documented) terminate(t *testing.T, role string) {
	t.Helper()
	d.MustExec(t, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '"+role+"'")
}

// W68: what was never sent goes to another server connection in transaction mode without a pin. In
// session mode the client knows its server's process id (W71): whoever ends that ends the session.
func TestW68NothingSentIsNothingLost(t *testing.T) {
	w := Shared(t)
	d := w.startDocumented(t, 18, nil)
	ctx := context.Background()
	app := w.Client("app_rw")
	for _, tt := range []struct {
		name, pool string
		first      string // what the client sends before its server ends; "" is nothing
		code       string // of its next statement: what the server said
	}{
		{"session, nothing sent", "", "", "57P01"},
		{"session, something sent", "", "select 1", "57P01"},
		{"transaction, nothing sent", transactions(2), "", ""},
		{"transaction, between transactions", transactions(2), "select 1", ""},
		{"transaction, settings", transactions(2), "set work_mem = '5MB'", ""},
		{"transaction, in a block", transactions(2), "begin", "57P01"},
		{"transaction, pinned", transactions(2), "listen news", "57P01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := w.Start(t, d.options(t, "certificate", tt.pool))
			c, err := b.TryConnect(app, "app_rw", "orders", func(cfg *pgx.ConnConfig) {
				cfg.RuntimeParams["work_mem"] = "7MB"
				cfg.RuntimeParams["application_name"] = "survivor"
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(ctx)
			if tt.first != "" {
				if _, err := c.Exec(ctx, tt.first); err != nil {
					t.Fatal(err)
				}
			}
			d.terminate(t, "app_rw")
			var settings string
			err = c.QueryRow(ctx, "select current_setting('work_mem') || ' ' || current_setting('application_name')", pgx.QueryExecModeExec).Scan(&settings)
			if SQLState(err) != tt.code || (tt.code == "") != (err == nil) {
				t.Fatalf("the next statement: %v, want SQLSTATE %q", err, tt.code)
			}
			want := "7MB survivor"
			if tt.name == "transaction, settings" {
				want = "5MB survivor"
			}
			if err == nil && settings != want {
				t.Errorf("on the other connection: %s, want %s", settings, want)
			}
		})
	}
}

// W67, W68: a statement that may have run is never repeated; its client reads the server's own words
// once.
func TestW67RunningStatementIsNotRepeated(t *testing.T) {
	w := Shared(t)
	d := w.startDocumented(t, 15, nil)
	w.execOn(t, d, "CREATE TABLE runs (n int); GRANT ALL ON runs TO app_rw")
	for _, pool := range []string{"", transactions(2)} {
		b := w.Start(t, d.options(t, "certificate", pool))
		wire := b.DialTLS(t, w.Client("app_rw"))
		wire.Send(Startup(3<<16, "user", "app_rw", "database", "orders"))
		wire.ReadUntil('Z')
		wire.Send(Query("insert into runs values (1); commit; select pg_sleep(60)"))
		Poll(t, "the statement to run", func() bool {
			n, err := d.QueryString(context.Background(), "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
			return err == nil && n == "1"
		})
		d.terminate(t, "app_rw")
		errors := 0
		for {
			m, err := wire.Read1()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Type == 'E' {
				if errors++; Field(m, 'C') != "57P01" {
					t.Errorf("got %s", ErrorText(m))
				}
			}
		}
		if errors != 1 {
			t.Errorf("%d errors, want one", errors)
		}
		end := b.Records("session.close", 1)[0]["end"].(map[string]any)
		if end["reason"] != "upstream_closed" || end["sqlstate"] != "57P01" || end["message"] != "terminating connection due to administrator command" {
			t.Errorf("recorded as %v, and the client read 57P01", end)
		}
	}
	conn, err := d.Connect(context.Background(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if n := one[int](t, conn, "select count(*) from runs"); n != 2 {
		t.Errorf("the two statements ran %d times", n)
	}
}

// A restart of PostgreSQL: clients that have nothing under way notice nothing.
func TestRestartIsNotNoticedByIdleClients(t *testing.T) {
	w := Shared(t)
	d := w.startDocumented(t, 18, nil)
	ctx := context.Background()
	b := w.Start(t, d.options(t, "certificate", transactions(4)))
	var clients []*pgx.Conn
	for range 20 {
		c := b.Connect(t, w.Client("app_rw"), "app_rw", "orders")
		one[int](t, c, "select 1")
		clients = append(clients, c)
	}
	if err := d.Stop(ctx, pgserver.Fast); err != nil {
		t.Fatal(err)
	}
	if err := d.Run(ctx); err != nil {
		t.Fatal(err)
	}
	for i, c := range clients {
		var n int
		if err := c.QueryRow(ctx, "select 7", pgx.QueryExecModeExec).Scan(&n); err != nil || n != 7 {
			t.Errorf("client %d: %v", i, err)
		}
	}
}

// W70: a promotion is noticed with the next answer of the server. A write that a standby refuses is
// its client's mistake where the target takes standbys: nobody loses a connection by it.
func TestW70PromotionIsNoticed(t *testing.T) {
	w := Shared(t)
	p := w.startPair(t, 15)
	b := w.Start(t, p.options(t, "prefer-standby", transactions(2)))
	c := b.Connect(t, w.Client("app_rw"), "app_rw", "orders")
	if port := one[int](t, c, "select inet_server_port()"); port != p.standby.Port {
		t.Fatalf("port %d, want the standby's", port)
	}
	if _, err := c.Exec(context.Background(), "create table t (n int)"); SQLState(err) != "25006" {
		t.Errorf("a write on a standby: %v, want SQLSTATE 25006", err)
	}
	pid := one[int](t, c, "select pg_backend_pid()")
	if again := one[int](t, c, "select pg_backend_pid()"); again != pid || b.Find("server changed its part") != nil {
		t.Errorf("backend %d after a refused write, want %d", again, pid)
	}
	if err := p.standby.Promote(context.Background()); err != nil {
		t.Fatal(err)
	}
	one[int](t, c, "select 1")
	b.pollLog(t, "server changed its part")
	if again := one[int](t, c, "select pg_backend_pid()"); again == pid {
		t.Error("the connection from before the promotion still serves")
	}
}

// hole stands between broker and server and can go silent: what is open stays open and says nothing,
// as when a host loses its power.
type hole struct {
	net.Listener
	to string

	mu     sync.Mutex
	silent bool
	conns  []net.Conn // of the broker
}

func newHole(t *testing.T, to string) *hole {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hole{Listener: l, to: to}
	t.Cleanup(func() {
		l.Close()
		for _, c := range h.conns {
			c.Close()
		}
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", to)
			if err != nil {
				c.Close()
				continue
			}
			h.mu.Lock()
			h.conns = append(h.conns, c)
			h.mu.Unlock()
			go h.copy(c, s)
			go h.copy(s, c)
		}
	}()
	return h
}

func (h *hole) copy(to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		h.mu.Lock()
		silent := h.silent
		h.mu.Unlock()
		if silent {
			return
		}
		if n > 0 {
			to.Write(buf[:n])
		}
		if err != nil {
			to.Close()
			return
		}
	}
}

// vanish makes the host go silent; the broker hears of one connection only.
func (h *hole) vanish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.silent = true
	h.Listener.Close()
	h.conns[0].Close()
}

// A host that goes away without a word: the loss of one connection ends the idle others at once, and
// logins go to the next host.
func TestVanishedHostIsLeft(t *testing.T) {
	w := Shared(t)
	first, second := w.startDocumented(t, 15, nil), w.startDocumented(t, 18, nil)
	h := newHole(t, first.Addr())
	o := first.options(t, "certificate", transactions(8))
	o.Hosts = []string{h.Addr().String(), second.Addr()}
	b := w.Start(t, o)
	ctx := context.Background()
	var clients []*pgx.Conn
	var blocks []pgx.Tx
	for range 6 {
		c := b.Connect(t, w.Client("app_rw"), "app_rw", "orders")
		tx, err := c.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		clients, blocks = append(clients, c), append(blocks, tx)
	}
	for _, tx := range blocks {
		tx.Rollback(ctx)
	}
	h.vanish()
	b.pollLog(t, "server does not answer")
	began := time.Now()
	for i, c := range clients {
		var port int
		if err := c.QueryRow(ctx, "select inet_server_port()", pgx.QueryExecModeExec).Scan(&port); err != nil || port != second.Port {
			t.Errorf("client %d: port %d, %v", i, port, err)
		}
	}
	t.Logf("%d clients went on after %v", len(clients), time.Since(began))
	if n := b.Find("server does not answer")["retired"]; fmt.Sprint(n) == "0" {
		t.Error("no idle connection was ended")
	}
}
