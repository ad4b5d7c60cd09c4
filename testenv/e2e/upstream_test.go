package e2e

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// backends is how many of PostgreSQL's sessions a role has.
func (d *documented) backends(t *testing.T, role string) string {
	t.Helper()
	n, err := d.QueryString(context.Background(), "SELECT count(*)::text FROM pg_stat_activity WHERE usename = $1", role)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A reload keeps the connections of an upstream that is reached and logged in to as before, recycles
// those of one that is not, and ends those of one that has left. Nobody's session is dropped but where
// its access has moved.
func TestReloadOfUpstreams(t *testing.T) {
	w := Shared(t)
	d := w.startDocumented(t, 15, nil)
	o := d.options(t, "certificate", transactions(3, `max_lifetime = "2s"`))
	b := w.Start(t, o)
	c := b.Connect(t, w.Client("app_rw"), "app_rw", "orders")
	backend := func() int { return one[int](t, c, "select pg_backend_pid()") }
	first := backend()

	b.EditConfig(t, "size = 3", "size = 2")
	b.Reload(t)
	if b.Find("upstream certificates renewed") != nil {
		t.Error("a new pool size renewed the certificates")
	}

	b.EditConfig(t, "ca_file = \"servers-ca.crt\"", "ca_file = \"servers-ca.crt\"\n  connect_timeout = \"4s\"")
	b.Reload(t)
	Poll(t, "the connection to be recycled", func() bool { return backend() != first })

	// Another upstream for the database: the session's access has moved.
	b.EditConfig(t, `upstream "pg"`, `upstream "other"`, `upstream = "pg"`, `upstream = "other"`)
	b.Reload(t)
	if _, err := c.Exec(context.Background(), "select 1"); SQLState(err) != "57P01" {
		t.Errorf("a session whose upstream has gone: %v, want SQLSTATE 57P01", err)
	}
	b.pollLog(t, "upstream has left the configuration")
	Poll(t, "its connections to end", func() bool { return d.backends(t, "app_rw") == "0" })
	b.Connect(t, w.Client("app_rw"), "app_rw", "orders")
}

// W69: those who wait for a server connection get PostgreSQL's own answer to the login, and at once.
func TestW69WaitersGetTheServersAnswer(t *testing.T) {
	w := Shared(t)
	d := w.startDocumented(t, 18, nil)
	o := d.options(t, "certificate", transactions(1, `login_check = "1h"`))
	b := w.Start(t, o)
	ctx := context.Background()
	var clients []*pgx.Conn
	for range 4 {
		clients = append(clients, b.Connect(t, w.Client("app_rw"), "app_rw", "orders"))
	}
	d.MustExec(t, "ALTER DATABASE orders ALLOW_CONNECTIONS false")
	defer d.MustExec(t, "ALTER DATABASE orders ALLOW_CONNECTIONS true")
	d.terminate(t, "app_rw")
	codes := make(chan string, len(clients))
	for _, c := range clients {
		go func() {
			_, err := c.Exec(ctx, "select 1")
			codes <- SQLState(err)
		}()
	}
	for range clients {
		if code := <-codes; code != "55000" {
			t.Errorf("a waiter got SQLSTATE %q, want PostgreSQL's 55000", code)
		}
	}
	d.MustExec(t, "ALTER DATABASE orders ALLOW_CONNECTIONS true")
	for i, c := range clients { // they live on
		if _, err := c.Exec(ctx, "select 1"); err != nil {
			t.Errorf("client %d: %v", i, err)
		}
	}
}
