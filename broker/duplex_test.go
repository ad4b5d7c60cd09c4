package broker

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/fakepg"
)

// W83: neither direction waits for the other. While the server takes nothing more of a client's COPY, what it
// says reaches the client; while the client takes nothing more of its rows, what it asks reaches the server.
func TestW83DirectionsDoNotWaitForEachOther(t *testing.T) {
	for _, mode := range []string{"session", "transaction"} {
		t.Run(mode+", a server that does not read", func(t *testing.T) {
			l, alice := handed(t, mode)
			stuck, heard := make(chan struct{}), make(chan struct{})
			l.faults.Store(&fault{server: func(_ *lab, c *fakepg.Conn) bool {
				c.Reply("G")
				<-stuck
				c.Reply("N01000")
				<-heard
				c.AwaitClose()
				return false
			}})
			conn := l.login(alice)
			ask(t, conn, "select fault")
			hears(t, conn, "G")
			block := fakepg.CopyData(strings.Repeat("x", 64<<10))
			done := untilStuck(func() error { _, err := conn.Write(block); return err })
			close(stuck)
			conn.SetReadDeadline(time.Now().Add(time.Minute))
			hears(t, conn, "N01000")
			close(heard)
			conn.NetConn().Close()
			<-done
			l.faults.Store(nil)
			l.nextIsServed(t, alice)
		})
		t.Run(mode+", a client that does not read", func(t *testing.T) {
			l, alice := handed(t, mode)
			asked := make(chan struct{})
			l.faults.Store(&fault{server: func(_ *lab, c *fakepg.Conn) bool {
				row := []byte(strings.Repeat(words("D="+strings.Repeat("x", 8<<10)), 16))
				left := make(chan struct{})
				done := untilStuck(func() error {
					select {
					case <-left:
						return errAbandoned
					default:
						return written(c, row)
					}
				})
				if m, ok := c.Read(); !ok || m.String() != "select 1" {
					t.Errorf("the server reads %q, want the second request", m)
				}
				close(asked)
				c.AwaitClose()
				close(left)
				<-done
				return false
			}})
			conn := l.login(alice)
			ask(t, conn, "select fault")
			if typ, _ := read(conn, "D"); typ != 'D' {
				t.Fatal("no row")
			}
			ask(t, conn, "select 1")
			select {
			case <-asked:
			case <-time.After(time.Minute):
				t.Error("the second request does not reach the server while the client reads no rows")
			}
			conn.NetConn().Close()
			l.faults.Store(nil)
			l.nextIsServed(t, alice)
		})
	}
}

// written writes in a script's second goroutine.
func written(c *fakepg.Conn, b []byte) (err error) {
	defer func() {
		if recover() != nil {
			err = errAbandoned
		}
	}()
	c.Write(b)
	return nil
}

// untilStuck calls write again and again in a goroutine of its own, whose end closes done, and returns when
// that gets nowhere: a call has taken 300 ms. A write that is but slow makes a test weaker, it fails none.
func untilStuck(write func() error) (done <-chan struct{}) {
	var writes atomic.Int64
	over := make(chan struct{})
	go func() {
		defer close(over)
		for write() == nil {
			writes.Add(1)
		}
	}()
	for before := int64(-1); before != writes.Load(); time.Sleep(300 * time.Millisecond) {
		before = writes.Load()
	}
	return over
}
