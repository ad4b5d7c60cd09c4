package broker

import (
	"crypto/tls"
	"encoding/binary"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/fakepg"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// W36: a statement that its client has prepared on a connection which is gone cannot be prepared on the next
// one. The error is the client's, at the place of its Bind, and nothing else is lost: not the session, not the
// connection, not the name. In session mode the connection is the session's: it ends with it.
func TestW36AReplayThatFails(t *testing.T) {
	bound := fakepg.Sequence(fakepg.Bind("", "s1"), fakepg.Execute("", 0), fakepg.Sync())
	for _, mode := range []string{"session", "transaction"} {
		t.Run(mode, func(t *testing.T) {
			l, alice := handed(t, mode)
			parses := 0
			var second *fakepg.Conn
			l.faults.Store(&fault{typ: pgwire.MsgParse, server: func(l *lab, c *fakepg.Conn) bool {
				switch parses++; parses {
				case 1:
					c.Expect("S")
					c.Reply("1 ZI")
					if l.transactions.Load() {
						l.poll("the connection to be idle", func() bool { return l.active() == 0 })
					}
					return false // and the connection ends
				case 2: // the table has gone meanwhile
					second = c
					c.Expect("B E S")
					c.Reply("E42P01 ZI")
				default:
					if c != second {
						t.Error("an error of the client's has cost a server connection")
					}
					c.Expect("B E S")
					c.Reply("1 2 C ZI")
				}
				return true
			}})
			conn := l.login(alice)
			say(t, conn, fakepg.Sequence(fakepg.Parse("s1", "select 1"), fakepg.Sync()))
			if mode == "session" {
				hears(t, conn, "1 ZI F08006 end")
			} else {
				hears(t, conn, "1 ZI")
				l.poll("the first connection to be gone", func() bool { return l.pg.Open() == 0 })
				say(t, conn, bound)
				hears(t, conn, "E42P01 ZI")
				say(t, conn, bound)
				hears(t, conn, "2 C ZI")
				conn.Close()
			}
			l.faults.Store(nil)
			l.left.Store(true)
			l.nextIsServed(t, alice)
		})
	}
}

// W74: the server connection of a session whose cancel request the server takes and never answers serves
// nobody else, and is closed at the deadline: the request may arrive at any time.
func TestW74ACancelThatIsNeverAnswered(t *testing.T) {
	for _, mode := range []string{"session", "transaction"} {
		t.Run(mode, func(t *testing.T) {
			l, alice := handed(t, mode)
			l.server.cancelWait.Store(int64(time.Second))
			came := make(chan struct{})
			hold := func(c *fakepg.Conn) { close(came); c.AwaitClose() }
			l.cancel.Store(&hold)
			l.faults.Store(&fault{server: func(_ *lab, c *fakepg.Conn) bool {
				<-came
				c.Reply("E57014 ZI")
				return true
			}})
			conn := l.dial(alice)
			typ, key := read(conn, "KE")
			if typ != 'K' {
				t.Fatalf("login: %c %q", typ, key)
			}
			read(conn, "Z")
			say(t, conn, fakepg.Query("select fault"))
			l.poll("the statement to run", func() bool { return l.faults.Load() != nil && l.active() == 1 })
			cancel := l.dialTLS(alice)
			say(t, cancel, pgwire.AppendCancelRequest(nil, pgwire.CancelKey{PID: binary.BigEndian.Uint32(key), Secret: key[4:]}))
			if mode == "session" {
				hears(t, conn, "E57014 ZI F08006 end")
			} else {
				hears(t, conn, "E57014 ZI")
				other := l.login(alice) // it is known what a login says
				say(t, other, fakepg.Query("select 1"))
				hears(t, other, "C ZI")
				if n := l.pg.Accepted(); n != 3 { // two, and the cancel request's
					t.Errorf("%d connections were made: another session was served by the one that is to be cancelled", n)
				}
				say(t, conn, fakepg.Query("select 1"))
				hears(t, conn, "C ZI")
				other.Close()
				conn.Close()
			}
			l.faults.Store(nil)
			l.left.Store(true)
			l.nextIsServed(t, alice)
		})
	}
}

// handed is a lab with one server connection at most, and a client's certificate.
func handed(t *testing.T, mode string) (*lab, *pki.Leaf) {
	rule := everybody
	rule.PoolMode = mode
	l := newLab(t, 1, nil, rule)
	l.transactions.Store(mode == "transaction")
	return l, l.Issue(l.Clients, pki.Shape{CN: "alice"})
}

func say(t *testing.T, conn *tls.Conn, b []byte) {
	t.Helper()
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

func hears(t *testing.T, conn *tls.Conn, want string) {
	t.Helper()
	if got := hear(conn, want); got != want {
		t.Errorf("the client reads %q, want %q", short(got), want)
	}
}

// nextIsServed has another client be served, after which nothing is left but idle connections.
func (l *lab) nextIsServed(t *testing.T, leaf *pki.Leaf) {
	t.Helper()
	other := l.login(leaf)
	ask(t, other, "select 1")
	hears(t, other, "C ZI")
	other.Close()
	l.poll("nothing to be left", func() bool {
		kept := 0
		for _, p := range l.server.pools.Stats() {
			if kept += p.Idle; p.Active+p.Closing+p.Waiting+p.Login > 0 {
				return false
			}
		}
		return len(l.server.live.all()) == 0 && l.pg.Open() == kept
	})
}
