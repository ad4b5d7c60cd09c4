package broker

import (
	"crypto/tls"
	"io"
	"sync/atomic"
	"testing"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/fakepg"
)

// W73: a cancel request for a session that holds no server connection any more reaches none: what runs there
// is somebody else's.
func TestW73ACancelOfWhatIsOver(t *testing.T) {
	l, alice := handed(t, "transaction")
	finish := make(chan struct{})
	server, running := answersAfter(finish, "C ZI")
	l.faults.Store(&fault{server: server})
	conn, cancel := l.cancellable(t, alice)
	ask(t, conn, "select 1")
	hears(t, conn, "C ZI")
	other := l.login(alice)
	ask(t, other, "select fault")
	<-running
	l.reachesNone(t, cancel(), "the server connection of another session")
	close(finish)
	hears(t, other, "C ZI")
	conn.Close()
	other.Close()
}

// W75: while the server answers the broker, which makes the connection fit for the session, a cancel request
// reaches nothing: what it would fail is not the client's.
func TestW75ACancelDuringAReplay(t *testing.T) {
	l, alice := handed(t, "transaction")
	finish := make(chan struct{})
	server, running := answersAfter(finish, "C ZI")
	l.faults.Store(&fault{on: func(m fakepg.Message) bool {
		return m.Type == pgwire.MsgQuery && len(m.String()) > 0 && m.String() != "select 1"
	}, server: func(l *lab, c *fakepg.Conn) bool {
		if l.pg.Accepted() == 1 { // the client's own SET
			c.Reply("C=SET ZI")
			l.poll("the connection to be idle", func() bool { return l.active() == 0 })
			return false // and the connection ends
		}
		return server(l, c)
	}})
	conn, cancel := l.cancellable(t, alice)
	ask(t, conn, "set lock_timeout = '7s'")
	hears(t, conn, "C ZI")
	l.poll("the first connection to be gone", func() bool { return l.pg.Open() == 0 })
	ask(t, conn, "select 1")
	<-running
	l.reachesNone(t, cancel(), "a server that answers the broker")
	close(finish)
	hears(t, conn, "C ZI")
	conn.Close()
}

// W50, W74, W75: a statement has ended while a cancel request for it is under way. What the client asks next, and
// what makes the connection fit for it, is not sent before the server has taken notice of the request: it would
// be hit, and where the settings are, both sides would end.
func TestW75ACancelUnderWayWhenAReplayIsDue(t *testing.T) {
	for _, mode := range []string{"session", "transaction"} {
		t.Run(mode, func(t *testing.T) {
			l, alice := handed(t, mode)
			came, taken := make(chan struct{}), make(chan struct{})
			var over, reset atomic.Bool // the server has taken notice; it has been asked for the reset
			notice := func(*fakepg.Conn) { close(came); <-taken; over.Store(true) }
			l.cancel.Store(&notice)
			server, running := answersAfter(came, "C=RESET ZI")
			var early atomic.Int64
			l.faults.Store(&fault{on: func(m fakepg.Message) bool {
				if m.Type != pgwire.MsgTerminate && !over.Load() && isClosed(came) {
					early.Add(1)
				}
				return m.Type == pgwire.MsgQuery && m.String() == "reset all" || m.Type == pgwire.MsgParse
			}, server: func(l *lab, c *fakepg.Conn) bool {
				if !reset.Swap(true) {
					return server(l, c)
				}
				c.Expect("B E C S") // session mode's replay
				c.Reply("1 2 C=SELECT 3 ZI")
				return true
			}})
			conn, cancel := l.cancellable(t, alice, "lock_timeout", "7s")
			ask(t, conn, "reset all")
			<-running
			request := cancel()
			hears(t, conn, "C ZI")
			asked := l.asked() + int64(len(fakepg.Query("select 1")))
			ask(t, conn, "select 1") // with lock_timeout ahead, which the client has begun with
			l.poll("it to be read", func() bool { return l.asked() == asked })
			close(taken)
			io.Copy(io.Discard, request)
			hears(t, conn, "C ZI")
			if n := early.Load(); n > 0 {
				t.Errorf("%d messages were sent while the cancel request was under way", n)
			}
			conn.Close()
		})
	}
}

// asked is how many bytes the broker has read from the clients whose sessions live.
func (l *lab) asked() (n int64) {
	for _, s := range l.server.live.all() {
		n += s.relaying().Totals().BytesIn
	}
	return n
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// answersAfter is a server that answers its first request when it may, and says when that has come.
func answersAfter(may <-chan struct{}, reply string) (server func(*lab, *fakepg.Conn) bool, running chan struct{}) {
	running = make(chan struct{})
	return func(_ *lab, c *fakepg.Conn) bool {
		close(running)
		<-may
		c.Reply(reply)
		return true
	}, running
}

// reachesNone waits for the end of a cancel request, which has had its effect then: none at the server.
func (l *lab) reachesNone(t *testing.T, request *tls.Conn, server string) {
	t.Helper()
	io.Copy(io.Discard, request)
	if n := len(l.pg.Cancels()); n != 0 {
		t.Errorf("%d cancel requests reached %s", n, server)
	}
}
