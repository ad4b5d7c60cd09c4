package fakepg

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/poll"
)

func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }

// client is the other end of a connection, as raw as can be.
type client struct {
	net.Conn
	t testing.TB
}

func dial(t testing.TB, network, addr string) *client {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &client{conn, t}
}

func (c *client) send(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// login sends the start-up packet and reads to the first ReadyForQuery.
func (c *client) login(user, database string) {
	c.t.Helper()
	body := fmt.Sprintf("\x00\x03\x00\x00user\x00%s\x00database\x00%s\x00TimeZone\x00Etc/UTC\x00\x00", user, database)
	c.send(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...))
	for {
		m, err := c.read()
		if err != nil {
			c.t.Fatalf("login: %v", err)
		}
		if m.Type == 'E' {
			c.t.Fatalf("login: %s %q", m.shape(), m.Body)
		}
		if m.Type == 'Z' {
			return
		}
	}
}

func (c *client) read() (Message, error) {
	var header [5]byte
	if _, err := io.ReadFull(c, header[:]); err != nil {
		return Message{}, err
	}
	m := Message{Type: header[0], Body: make([]byte, binary.BigEndian.Uint32(header[1:])-4)}
	_, err := io.ReadFull(c, m.Body)
	return m, err
}

// expect reads as many messages as the notation has words and compares.
func (c *client) expect(want string) {
	c.t.Helper()
	words, closes := cutEOF(want)
	var got []Message
	for range strings.Fields(words) {
		m, err := c.read()
		if err != nil {
			c.t.Fatalf("got %q then %v, want %q", Shape(got), err, want)
		}
		got = append(got, m)
	}
	if shape := Shape(got); shape != shapeOf(words) {
		c.t.Fatalf("got %q, want %q", shape, shapeOf(words))
	}
	if closes {
		if m, err := c.read(); !errors.Is(err, io.EOF) {
			c.t.Fatalf("got %q, %v, want EOF", m.shape(), err)
		}
	}
}

func (c *client) play(trace Trace, notify func(sql string)) {
	c.t.Helper()
	for _, step := range trace.Steps {
		if step.Notify != "" {
			notify(step.Notify)
		}
		c.send(step.Send)
		c.expect(step.Want)
	}
}

// The traces are what PostgreSQL does.
func TestTracesOnPostgreSQL(t *testing.T) {
	server := pgserver.Start(t, pgserver.Options{Version: 15})
	socket := fmt.Sprintf("%s/.s.PGSQL.%d", server.SocketDir, server.Port)
	admin, err := server.Connect(t.Context(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	run := func(t *testing.T, sql string) {
		t.Helper()
		if _, err := admin.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for _, trace := range Traces() {
		t.Run(trace.Name, func(t *testing.T) {
			run(t, trace.Setup)
			c := dial(t, "unix", socket)
			c.login("postgres", "postgres")
			for _, sql := range trace.Begin {
				c.send(Query(sql))
				for m, err := c.read(); m.Type != 'Z'; m, err = c.read() {
					if err != nil || m.Type == 'E' {
						t.Fatalf("begin: %v %s", err, m.shape())
					}
				}
			}
			c.play(trace, func(sql string) { run(t, sql) })
		})
	}
}

// The fake server plays them.
func TestTracesOnFake(t *testing.T) {
	for _, trace := range Traces() {
		t.Run(trace.Name, func(t *testing.T) {
			server := Start(t, Options{}, func(c *Conn) {
				c.Login(Login{})
				c.Play(trace)
			})
			c := dial(t, "tcp", server.Addr)
			c.login("app", "app")
			c.play(trace, func(string) {})
		})
	}
}

func TestMessagesShape(t *testing.T) {
	all := "R 1 2 3 n s I c ZI ZT ZE E22012 F57P01 N01000 C C=INSERT_0_1 T D D=x t G H W d d=x S=a=b A=c=p V"
	b, err := Messages(all)
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	go func() {
		far.Write(b)
		far.Close()
	}()
	c := &client{near, t}
	c.expect(all + " EOF")
	for _, bad := range []string{"X", "Z", "E1", "S", "1=2", "1x"} {
		if b, err := Messages(bad); err == nil {
			t.Errorf("Messages(%q) = %q, want an error", bad, b)
		}
	}
}

func TestTLS(t *testing.T) {
	env := pki.New(t)
	options := Options{TLS: &tls.Config{Certificates: []tls.Certificate{env.Server().TLS()}}}
	server := Start(t, options, func(c *Conn) {
		if c.TLS == nil || c.Startup.User() != "app" {
			t.Errorf("TLS %v, user %q", c.TLS, c.Startup.User())
		}
		c.Login(Login{})
		c.ExpectQuery("select 1")
		c.HalfClose()
		c.AwaitClose()
	})
	config := &tls.Config{RootCAs: env.Servers.Pool(), ServerName: "localhost", NextProtos: []string{"postgresql"}}
	for _, direct := range []bool{false, true} {
		t.Run(fmt.Sprint("direct ", direct), func(t *testing.T) {
			raw := dial(t, "tcp", server.Addr)
			if !direct {
				raw.send([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f})
				answer := make([]byte, 1)
				if _, err := io.ReadFull(raw, answer); err != nil || answer[0] != 'S' {
					t.Fatalf("SSLRequest: %q, %v", answer, err)
				}
			}
			c := &client{tls.Client(raw.Conn, config), t}
			c.login("app", "app")
			c.send(Query("select 1"))
			if _, err := c.read(); !errors.Is(err, io.EOF) {
				t.Errorf("after half-close: %v, want EOF", err)
			}
		})
	}
}

func TestSSLAnswer(t *testing.T) {
	for name, options := range map[string]Options{"N": {}, "Sx": {SSLAnswer: []byte("Sx")}, "E": {SSLAnswer: []byte("E")}} {
		t.Run(name, func(t *testing.T) {
			server := Start(t, options, func(c *Conn) {})
			c := dial(t, "tcp", server.Addr)
			c.send([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f})
			answer := make([]byte, len(name))
			if _, err := io.ReadFull(c, answer); err != nil || string(answer) != name {
				t.Errorf("got %q, %v, want %q", answer, err, name)
			}
		})
	}
}

func TestCancelIsRecorded(t *testing.T) {
	held := make(chan struct{})
	server := Start(t, Options{Cancel: func(c *Conn, key pgwire.CancelKey) { <-held }}, func(c *Conn) {})
	c := dial(t, "tcp", server.Addr)
	c.send(pgwire.AppendCancelRequest(nil, pgwire.CancelKey{PID: 7, Secret: []byte("abcd")}))
	close(held)
	if _, err := c.read(); !errors.Is(err, io.EOF) {
		t.Errorf("after a cancel: %v, want EOF", err)
	}
	if got := server.Cancels(); len(got) != 1 || got[0].PID != 7 || string(got[0].Secret) != "abcd" {
		t.Errorf("got %v", got)
	}
}

func TestReset(t *testing.T) {
	server := Start(t, Options{}, func(c *Conn) {
		c.Login(Login{})
		c.Reset()
	})
	c := dial(t, "tcp", server.Addr)
	c.login("app", "app")
	if _, err := c.read(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestCloseEndsScripts(t *testing.T) {
	before := goleak.IgnoreCurrent()
	server := Start(t, Options{}, func(c *Conn) {
		c.Login(Login{})
		c.AwaitClose()
	})
	dial(t, "tcp", server.Addr).login("app", "app")
	server.Close()
	if err := poll.Gone(before); err != nil {
		t.Error(err)
	}
}
