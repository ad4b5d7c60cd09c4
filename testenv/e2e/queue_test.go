package e2e

import (
	"context"
	"crypto/tls"
	"testing"
)

// W89: a client that has gone leaves the queue before a server connection comes free. In transaction
// mode it waits with a request, in session mode with its login.
func TestW89AGoneClientLeavesTheQueue(t *testing.T) {
	w := Shared(t)
	for _, tt := range []struct{ name, pool string }{
		{"transaction mode", transactions(1, `wait_timeout = "50s"`)},
		{"session mode", "size = 1\nwait_timeout = \"50s\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := w.Start(t, Options{Rules: people, Pool: tt.pool, Admin: httpOn})
			config := b.TLSConfig(w.Client("alice"))
			holder := b.wire(t, config)
			if _, err := holder.run(joined(Query("begin"), terminator), nil); err != nil {
				t.Fatal(err)
			}
			ctx, vanish := context.WithCancel(t.Context())
			go func() { // in session mode until it vanishes
				c, err := dialUntil(ctx, b.Addr, config, "alice", "orders")
				if err == nil {
					c.Write(Query("select 1"))
				}
			}()
			waiting := `pgsignet_pool_clients{database="orders",state="waiting",upstream="pg"}`
			Poll(t, "the client to wait", func() bool { return b.metrics(t)[waiting] == "1" })
			vanish()
			Poll(t, "the gone client to leave the queue", func() bool { return b.metrics(t)[waiting] == "0" })
			if got, err := holder.run(joined(Query("select 'still here'"), terminator), nil); err != nil || got[len(got)-1].Body[0] != 'T' {
				t.Errorf("the holder's transaction: %s, %v", Types(got), err)
			}
		})
	}
}

// wire logs in as alice to orders.
func (b *Broker) wire(t *testing.T, config *tls.Config) *wireConn {
	t.Helper()
	c, err := dialWire(b.Addr, config, "alice", "orders")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// W57: Syncs that were sent ahead of a COPY's data, and of which it is not known whether the COPY has
// eaten them, do not keep the server connection: a fence behind the last one tells.
func TestW57AnAbortedCopyGivesItsServerBack(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Pool: transactions(1)})
	for _, database := range []string{"orders", "stock"} {
		w.Exec(t, database, "drop table if exists w57; create table w57 (n int); grant all on w57 to alice")
	}
	config := b.TLSConfig(w.Client("alice"))
	other := b.wire(t, config)
	for _, tt := range []struct{ name, data, want string }{
		{"a bad row has eaten the first Sync", "not a number\n", "1 2 G E ZI"},
		{"a good COPY", "7\n", "1 2 G C ZI"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := b.wire(t, config)
			c.Write(joined(Msg('P', "\x00copy w57 from stdin\x00\x00\x00"), Msg('B', "\x00\x00\x00\x00\x00\x00\x00\x00"),
				Msg('E', "\x00\x00\x00\x00\x00"), Msg('S', ""), Msg('d', tt.data), Msg('c', ""), Msg('S', "")))
			var got []Message
			for len(got) == 0 || got[len(got)-1].Type != 'Z' {
				m, err := c.next()
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, m)
			}
			if Types(got) != tt.want {
				t.Errorf("the COPY reads %s, want %s", Types(got), tt.want)
			}
			if got, err := other.run(joined(Query("select 1"), terminator), nil); err != nil {
				t.Errorf("the one server connection is not free: %s, %v", Types(got), err)
			}
		})
	}
}
