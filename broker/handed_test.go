package broker

import (
	"crypto/tls"
	"encoding/binary"
	"strings"
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
			server, running := answersAfter(came, "E57014 ZI")
			l.faults.Store(&fault{server: server})
			conn, cancel := l.cancellable(t, alice)
			say(t, conn, fakepg.Query("select fault"))
			<-running
			cancel()
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

// W50: a connection refuses the settings that the next request counts on, behind which that request has been
// sent already. What it answers to that is nobody's: both sides end.
func TestW50AReplayedSettingIsRefused(t *testing.T) {
	l, alice := handed(t, "transaction")
	l.faults.Store(&fault{on: func(m fakepg.Message) bool {
		return m.Type == pgwire.MsgQuery && strings.Contains(m.String(), "lock_timeout")
	}, server: func(l *lab, c *fakepg.Conn) bool {
		if l.pg.Accepted() == 1 {
			c.Reply("C=SET ZI")
			l.poll("the connection to be idle", func() bool { return l.active() == 0 })
			return false // and the connection ends
		}
		c.Reply("E22023 ZI C ZI") // the second answer is to the client's own request
		c.AwaitClose()
		return false
	}})
	conn := l.login(alice)
	ask(t, conn, "set lock_timeout = '7s'")
	hears(t, conn, "C ZI")
	l.poll("the first connection to be gone", func() bool { return l.pg.Open() == 0 })
	ask(t, conn, "select 1")
	hears(t, conn, "F08006 end")
	l.faults.Store(nil)
	l.nextIsServed(t, alice)
}

// W62: a client that goes while its COPY waits for data leaves a connection that serves nobody else: the
// broker fails the COPY or closes, and asks nothing in between.
func TestW62AClientThatGoesInACopy(t *testing.T) {
	for _, mode := range []string{"session", "transaction"} {
		t.Run(mode, func(t *testing.T) {
			l, alice := handed(t, mode)
			l.faults.Store(&fault{server: func(_ *lab, c *fakepg.Conn) bool {
				c.Reply("G")
				for {
					switch m, ok := c.Read(); {
					case !ok:
						return false
					case m.Type != pgwire.MsgCopyData && m.Type != pgwire.MsgCopyFail && m.Type != pgwire.MsgTerminate:
						t.Errorf("a COPY is sent %c %q", m.Type, m)
					}
				}
			}})
			conn := l.login(alice)
			say(t, conn, fakepg.Query("select fault"))
			hears(t, conn, "G")
			say(t, conn, fakepg.CopyData("half a r"))
			conn.NetConn().Close()
			l.faults.Store(nil)
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
	l.up.Pool.LoginCheck = time.Hour // a connection stays: the fake knows no answer to the question
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

// cancellable is login, with start-up parameters, and with what sends a cancel request for the session.
func (l *lab) cancellable(t *testing.T, leaf *pki.Leaf, params ...string) (conn *tls.Conn, cancel func() *tls.Conn) {
	t.Helper()
	conn = l.dial(leaf, params...)
	typ, key := read(conn, "KE")
	if typ != 'K' {
		t.Fatalf("login: %c %q", typ, key)
	}
	read(conn, "Z")
	return conn, func() *tls.Conn {
		t.Helper()
		c := l.dialTLS(leaf)
		say(t, c, pgwire.AppendCancelRequest(nil, pgwire.CancelKey{PID: binary.BigEndian.Uint32(key), Secret: key[4:]}))
		return c
	}
}
