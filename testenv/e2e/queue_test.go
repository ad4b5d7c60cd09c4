package e2e

import (
	"context"
	"crypto/tls"
	"testing"

	"github.com/jackc/pgx/v5"
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
				c, err := dialUntil(ctx, b.Addr, config, protocol30, "alice", "orders")
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

// W57: the Sync that a COPY has eaten ends nothing. Until the client's next one its rows are in a
// transaction that is open, and nobody else gets its server connection.
func TestW57ABatchWhoseSyncWasEatenIsOpen(t *testing.T) {
	w := Shared(t)
	w.Exec(t, "orders", "drop table if exists eaten; create table eaten (n int); grant all on eaten to alice")
	b := w.Start(t, Options{Rules: people, Pool: transactions(1, `wait_timeout = "1s"`)})
	var waiter *pgx.Conn
	untilServed(t, func() (err error) { waiter, err = b.TryConnect(w.Client("alice"), "alice", "orders"); return err })
	defer waiter.Close(t.Context())
	c := b.DialTLS(t, w.Client("alice"))
	c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
	c.ReadUntil('Z')
	c.Send(joined(Msg('P', "\x00copy eaten from stdin\x00\x00\x00"), Msg('B', "\x00\x00\x00\x00\x00\x00\x00\x00"), Msg('E', "\x00\x00\x00\x00\x00"), Msg('S', "")))
	c.ReadUntil('G')
	c.Send(joined(Msg('d', "7\n"), Msg('c', ""), Msg('H', "")))
	c.ReadUntil('C')
	if _, err := waiter.Exec(t.Context(), "select 1"); SQLState(err) != "53300" {
		t.Errorf("another session inside the COPY's transaction: %v, want SQLSTATE 53300", err)
	}
	c.Send(Msg('S', ""))
	if got := Types(c.ReadUntil('Z')); got != "ZI" {
		t.Errorf("the Sync that counts: %s, want ZI", got)
	}
	var n int
	untilServed(t, func() error { return waiter.QueryRow(t.Context(), "select n from eaten").Scan(&n) })
	if n != 7 {
		t.Errorf("read %d", n)
	}
}

// W46, W57: what the end of a failed COPY puts back is reported while nothing is outstanding, and is the
// client's own value all the same: the server's default is another, for whoever comes next.
func TestW46WhatAFailedCopyPutsBackIsNoDefault(t *testing.T) {
	onEach(t, expectW46WhatAFailedCopyPutsBackIsNoDefault)
}

func expectW46WhatAFailedCopyPutsBackIsNoDefault(t *testing.T, w *World) {
	w.Exec(t, "orders", `drop table if exists w46; create table w46 (n int); grant all on w46 to alice;
		create or replace function w46() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
		create trigger w46 before insert on w46 for each statement execute function w46()`)
	b := w.Start(t, Options{Rules: people, Pool: transactions(1)})
	c := b.DialTLS(t, w.Client("alice"))
	c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
	c.ReadUntil('Z')
	next := b.Connect(t, w.Client("alice"), "alice", "orders")
	usual := one[string](t, next, "show timezone")
	for _, m := range [][]byte{
		Query("set timezone = 'Asia/Tokyo'"), Query("begin"), Query("set local timezone = 'Etc/GMT+5'"),
		joined(Msg('P', "\x00copy w46 from stdin\x00\x00\x00"), Msg('B', "\x00\x00\x00\x00\x00\x00\x00\x00"), Msg('E', "\x00\x00\x00\x00\x00"), Msg('S', "")),
		Query("rollback"),
	} {
		c.Send(m)
		c.ReadUntil('Z')
	}
	if got := one[string](t, next, "show timezone"); got != usual {
		t.Errorf("the next client's time zone is %s, want %s", got, usual)
	}
}
