package e2e

import (
	"context"
	"testing"
)

// W81, W91: a batch that is left without its Sync has a deadline of the broker's own, and its server
// connection serves somebody else afterwards.
func TestW81AnOpenBatchHasADeadline(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	bothModes(t, func(t *testing.T, mode string) {
		t.Parallel()
		b := w.Start(t, Options{Rules: ruled(mode, ""), Pool: "size = 1", Listener: `open_batch_timeout = "5s"`})
		c := b.wire(t, b.TLSConfig(w.Client("alice")))
		if _, err := c.Write(joined(parsed("", "select 1"), bound("", ""), executed(""), Msg('H', ""))); err != nil {
			t.Fatal(err)
		}
		got, last := c.rest()
		if Types(got) != "1 2 D C E" || Field(last, 'S') != "FATAL" || Field(last, 'C') != "57P05" {
			t.Errorf("got %s, last %s; want FATAL 57P05", Types(got), ErrorText(last))
		}
		one[int](t, b.Connect(t, w.Client("alice"), "alice", "orders"), "select 1")
	})
}

// W60: PostgreSQL ends a session that sends anything but copy messages in COPY FROM STDIN. Its client
// reads its words and the end, and its connection is given up.
func TestW60AnotherMessageInACopyEndsTheSession(t *testing.T) {
	w := Shared(t)
	bothModes(t, func(t *testing.T, mode string) {
		b := w.Start(t, Options{Rules: ruled(mode, ""), Pool: "size = 1"})
		for _, other := range [][]byte{Query("select 1"), parsed("", "select 1"), lostObject} {
			c := b.wire(t, b.TLSConfig(w.Client("alice")))
			if _, err := c.Write(joined(Query("create temp table w60 (n int)"), Query("copy w60 from stdin"))); err != nil {
				t.Fatal(err)
			}
			for {
				if m, err := c.next(); err != nil {
					t.Fatal(err)
				} else if m.Type == 'G' {
					break
				}
			}
			if _, err := c.Write(other); err != nil {
				t.Fatal(err)
			}
			got, last := c.rest()
			if len(got) == 0 || last.Type != 'E' || Field(last, 'S') != "FATAL" || Field(last, 'C') != "08P01" {
				t.Errorf("%c in a COPY: got %s, last %s; want FATAL 08P01 and the end", other[0], Types(got), ErrorText(last))
			}
			another := b.Connect(t, w.Client("alice"), "alice", "orders")
			one[int](t, another, "select 1")
			another.Close(context.Background())
		}
	})
}

// rest returns what comes until the connection ends, and the last of it.
func (w *wireConn) rest() (all []Message, last Message) {
	for {
		m, err := w.next()
		if err != nil {
			return all, last
		}
		all, last = append(all, m), m
	}
}
