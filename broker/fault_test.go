package broker

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/fakepg"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// fault is something that a server connection does in the middle of a session, and what the client
// reads then.
type fault struct {
	name   string
	sends  []byte // by the client; default: a Query
	typ    byte   // of the message that the fault answers; default: the Query "select fault"
	on     func(fakepg.Message) bool
	server func(l *lab, c *fakepg.Conn) (goOn bool)

	// What the client reads, as fakepg.Shape writes it. "cut" is the front of a message. With "end" the
	// connection ends there; without it the client goes on, and its next Query is answered.
	session, transaction string
	leaves               bool // the client then closes its connection, without a goodbye
}

// on says whether a message of the broker's is the one that the fault answers.
func (f *fault) answers(m fakepg.Message) bool {
	if f.on != nil {
		return f.on(m)
	}
	if f.typ == 0 {
		return m.Type == pgwire.MsgQuery && m.String() == "select fault"
	}
	return m.Type == f.typ
}

// dies sends bytes behind messages and closes the connection.
func dies(notation, rest string) func(*lab, *fakepg.Conn) bool {
	return func(_ *lab, c *fakepg.Conn) bool {
		b, err := fakepg.Messages(notation)
		if err != nil {
			panic(err)
		}
		c.Write(append(b, rest...))
		return false
	}
}

// goesOn sends bytes behind messages and then waits until the broker has closed the connection.
func goesOn(notation, rest string) func(*lab, *fakepg.Conn) bool {
	return func(l *lab, c *fakepg.Conn) bool {
		dies(notation, rest)(l, c)
		c.AwaitClose()
		return false
	}
}

// idle sends messages, then bytes once their session in transaction mode has let go of the connection.
func idle(notation, rest string) func(*lab, *fakepg.Conn) bool {
	return func(l *lab, c *fakepg.Conn) bool {
		c.Reply(notation)
		if l.transactions.Load() {
			l.poll("the connection to be idle", func() bool { return l.active() == 0 })
		}
		c.Write([]byte(rest))
		return true
	}
}

func words(notation string) string {
	b, err := fakepg.Messages(notation)
	if err != nil {
		panic(err)
	}
	return string(b)
}

var faults = []fault{
	{name: "dies within a row", server: dies("T", "D\x00\x00\x10\x00half a row"), session: "T cut end", transaction: "T cut end"},
	{name: "dies within a header", server: dies("T D", "D\x00\x00"), session: "T D F08006 end", transaction: "T D F08006 end"},
	{name: "dies between messages", server: dies("T D", ""), session: "T D F08006 end", transaction: "T D F08006 end"},
	{name: "is reset", server: func(_ *lab, c *fakepg.Conn) bool { c.Reset(); return false }, session: "F08006 end", transaction: "F08006 end"},
	{name: "closes its half", server: func(_ *lab, c *fakepg.Conn) bool { c.HalfClose(); c.AwaitClose(); return false },
		session: "F08006 end", transaction: "F08006 end"},
	{name: "says its last words", server: dies("T D F57P01", ""), session: "T D F57P01 end", transaction: "T D F57P01 end"},
	{name: "a message of no known type", server: goesOn("", "q\x00\x00\x00\x04"), session: "F08006 end", transaction: "F08006 end"},
	{name: "bytes that are no messages", server: goesOn("", "HTTP/1.1 400 Bad Request\r\n\r\n"), session: "F08006 end", transaction: "F08006 end"},
	{name: "a length of less than itself", server: goesOn("T", "D\x00\x00\x00\x03"), session: "T F08006 end", transaction: "T F08006 end"},
	{name: "a negative length", server: goesOn("T", "D\xff\xff\xff\xff"), session: "T F08006 end", transaction: "T F08006 end"},
	{name: "an endless ReadyForQuery", server: goesOn("C", "Z\x7f\xff\xff\xffI"), session: "C F08006 end", transaction: "C F08006 end"},
	{name: "a transaction state of its own", server: goesOn("C", "Z\x00\x00\x00\x05X"), session: "C F08006 end", transaction: "C F08006 end"},
	{name: "a login's message", server: goesOn("", words("R")), session: "F08006 end", transaction: "F08006 end"},
	{name: "an answer to another request", server: goesOn("", words("1")), session: "F08006 end", transaction: "F08006 end"},
	{name: "one answer too many", server: goesOn("C ZI ZI", ""), session: "C ZI F08006 end", transaction: "C ZI F08006 end"},
	{name: "an error too many", server: goesOn("C ZI E42601", ""), session: "C ZI F08006 end", transaction: "C ZI F08006 end"},
	{name: "an answer while idle", server: idle("C ZI", words("ZI")), session: "C ZI F08006 end", transaction: "C ZI"},
	{name: "an error while idle", server: idle("C ZI", words("E42601")), session: "C ZI F08006 end", transaction: "C ZI"},
	{name: "a FATAL right behind the answer", server: goesOn("C ZI F57P01", ""), session: "C ZI F57P01 end", transaction: "C ZI"},
	{name: "a FATAL while idle", server: idle("C ZI", words("F57P01")), session: "C ZI F57P01 end", transaction: "C ZI"},
	{name: "a notification while idle", server: idle("C ZI", words("A=news=1")), session: "C ZI A", transaction: "C ZI"},
	{name: "half a message while idle", server: idle("C ZI", "N\x00\x00"), session: "C ZI", transaction: "C ZI", leaves: true},
	{name: "notices without end", server: func(_ *lab, c *fakepg.Conn) bool {
		c.Write(bytes.Repeat([]byte(words("N01000")), 2000))
		c.Reply("C ZI")
		return true
	}, session: strings.Repeat("N01000 ", 2000) + "C ZI", transaction: strings.Repeat("N01000 ", 2000) + "C ZI"},
	{name: "a Sync without an answer", typ: 'S', sends: fakepg.Sequence(fakepg.Parse("", "select 1"), fakepg.Bind("", ""), fakepg.Execute("", 0), fakepg.Sync()),
		server: goesOn("1 2 D C", ""), session: "1 2 D C", transaction: "1 2 D C", leaves: true},
	{name: "a Query without an answer", server: goesOn("", ""), leaves: true},
	{name: "a client that does not read", server: func(_ *lab, c *fakepg.Conn) bool {
		for row := []byte(strings.Repeat(words("D="+strings.Repeat("x", 8<<10)), 16)); ; {
			c.Write(row) // ends the script when the broker has closed
		}
	}, session: "D", transaction: "D", leaves: true},
	{name: "a server that does not read", server: func(l *lab, c *fakepg.Conn) bool {
		c.Reply("G")
		l.poll("the client to leave", l.left.Load)
		return true
	}, session: "G", transaction: "G", leaves: true},
}

// W65-W68, W80, W84, W87: whatever a server connection does, its client reads an SQLSTATE and the end, or
// goes on; and nothing is left of it: neither server connection, place, goroutine nor descriptor.
func TestServerFaults(t *testing.T) {
	for _, mode := range []string{"session", "transaction"} {
		t.Run(mode, func(t *testing.T) {
			descriptors := countDescriptors(t)
			t.Run("faults", func(t *testing.T) {
				rule := everybody
				rule.PoolMode = mode
				l := newLab(t, 1, nil, rule)
				l.transactions.Store(mode == "transaction")
				alice := l.Issue(l.Clients, pki.Shape{CN: "alice"})
				for i := range faults {
					t.Run(faults[i].name, func(t *testing.T) { l.suffer(t, alice, &faults[i]) })
				}
			})
			for deadline := time.Now().Add(time.Minute); countDescriptors(t) > descriptors; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%d descriptors are open, %d were before", countDescriptors(t), descriptors)
				}
			}
		})
	}
}

// suffer has a client live through a fault, and then another one with the only server connection there
// may be.
func (l *lab) suffer(t *testing.T, alice *pki.Leaf, f *fault) {
	conn := l.login(alice)
	l.left.Store(false)
	l.faults.Store(f)
	sends, want := f.sends, f.session
	if sends == nil {
		sends = fakepg.Query("select fault")
	}
	if l.transactions.Load() {
		want = f.transaction
	}
	if _, err := conn.Write(sends); err != nil {
		t.Fatal(err)
	}
	if got := hear(conn, want); got != want {
		t.Errorf("%s: the client reads %q, want %q", f.name, short(got), short(want))
	}
	switch {
	case f.name == "a server that does not read":
		conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		for block := fakepg.CopyData(strings.Repeat("x", 64<<10)); ; {
			if _, err := conn.Write(block); err != nil {
				break
			}
		}
	case !f.leaves && !strings.HasSuffix(want, "end"):
		if l.transactions.Load() && strings.HasSuffix(f.name, "while idle") {
			l.poll("the idle connection to be closed", func() bool { return l.pg.Open() == 0 })
		}
		ask(t, conn, "select 1")
		if got := hear(conn, "C ZI"); got != "C ZI" {
			t.Errorf("then it reads %q, want C ZI", got)
		}
	}
	if f.leaves {
		conn.NetConn().Close()
	} else {
		conn.Close()
	}
	l.left.Store(true)
	l.faults.Store(nil)
	l.nextIsServed(t, alice)
}

// active is how many server connections are leased.
func (l *lab) active() (n int) {
	for _, p := range l.server.pools.Stats() {
		n += p.Active
	}
	return n
}

// poll waits until ok says yes; it may be called from a script.
func (l *lab) poll(what string, ok func() bool) {
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Errorf("waited for %s: %d connections, %+v", what, l.pg.Open(), l.server.pools.Stats())
			return
		}
	}
}

// hear reads as many messages as want has, and up to the end where want says so, and returns what came
// in the same words.
func hear(conn *tls.Conn, want string) string {
	expected := strings.Fields(want)
	var got []string
	for i := 0; i < len(expected); i++ {
		var head [5]byte
		n, err := io.ReadFull(conn, head[:])
		if n == 0 {
			return strings.Join(append(got, "end"), " ")
		}
		if err == nil {
			body := make([]byte, min(binary.BigEndian.Uint32(head[1:])-4, 1<<20))
			if _, err = io.ReadFull(conn, body); err == nil {
				got = append(got, fakepg.Shape([]fakepg.Message{{Type: head[0], Body: body}}))
				continue
			}
		}
		got = append(got, "cut")
	}
	return strings.Join(got, " ")
}

func short(s string) string { return s[max(0, len(s)-80):] }

// countDescriptors is how many descriptors the process has open.
func countDescriptors(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no list of descriptors: ", err)
	}
	return len(list)
}
