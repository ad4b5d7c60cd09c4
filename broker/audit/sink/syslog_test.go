package sink

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/poll"
)

// message is what RFC 5424 says a line must look like.
var message = regexp.MustCompile(`^<1(10|08)>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z gw1 pgsignet - [a-z.]+ \[pgsignet@32473 stream="gw1-[^"]+" seq="(\d+)"\] (\{.*\})$`)

// collector is a syslog server over TLS, with octet counting.
type collector struct {
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	got   map[int64]string
	bad   []string
	drop  int // connections to end without reading
}

func newCollector(t *testing.T, cfg *tls.Config) *collector {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{listener: l, got: map[int64]string{}}
	c.wg.Go(c.serve)
	t.Cleanup(func() {
		l.Close()
		c.hangUp()
		c.wg.Wait()
	})
	return c
}

func (c *collector) serve() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		c.conns = append(c.conns, conn)
		drop := c.drop > 0
		c.drop--
		c.mu.Unlock()
		if drop {
			conn.(*tls.Conn).Handshake()
			conn.Close()
			continue
		}
		c.wg.Go(func() { c.read(conn) })
	}
}

// read takes messages apart by their count.
func (c *collector) read(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		count, err := in.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(count, " "))
		if err != nil {
			c.note("count " + count)
			return
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(in, text); err != nil {
			return
		}
		c.note(string(text))
	}
}

func (c *collector) note(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := message.FindStringSubmatch(text)
	if m == nil {
		c.bad = append(c.bad, text)
		return
	}
	seq, _ := strconv.ParseInt(m[2], 10, 64)
	c.got[seq] = m[3]
}

func (c *collector) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

func (c *collector) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}

// Over TLS every line arrives although the server hangs up: what was not settled is sent again.
func TestSyslogOverTLS(t *testing.T) {
	env := pki.New(t)
	pair := env.Server("127.0.0.1").TLS()
	c := newCollector(t, &tls.Config{Certificates: []tls.Certificate{pair}})
	dst, err := NewSyslog(SyslogConfig{Address: "tls://" + c.listener.Addr().String(), CAFile: env.WriteCA(env.Servers, "logs-ca")})
	if err != nil {
		t.Fatal(err)
	}
	l, dir := openLog(t, audit.Config{})
	c.mu.Lock()
	c.drop = 1
	c.mu.Unlock()
	s := newSink(t, Config{Directory: dir, Log: l, Settle: 2 * time.Second, Every: 10 * time.Millisecond, Retry: time.Second}, dst)
	stop := start(t, s)
	defer stop()
	for i := range 300 {
		if err := l.AppendDurable(t.Context(), statement(i)); err != nil {
			t.Fatal(err)
		}
		if i == 100 {
			poll.Until(t, "some lines", func() bool { return c.count() > 50 })
			c.hangUp()
		}
	}
	poll.Until(t, "every line", func() bool { return c.count() >= 301 })
	stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.bad) > 0 {
		t.Errorf("not RFC 5424: %.200q", c.bad[0])
	}
	for i, line := range written(t, dir)[:301] {
		if c.got[int64(i+1)] != line {
			t.Fatalf("seq %d: got %.100q, want %.100q", i+1, c.got[int64(i+1)], line)
		}
	}
}

// A server with a certificate of another CA gets nothing.
func TestSyslogRefusesAStranger(t *testing.T) {
	env, other := pki.New(t), pki.New(t)
	c := newCollector(t, &tls.Config{Certificates: []tls.Certificate{env.Server("127.0.0.1").TLS()}})
	dst, err := NewSyslog(SyslogConfig{Address: "tls://" + c.listener.Addr().String(), CAFile: other.WriteCA(other.Servers, "logs-ca")})
	if err != nil {
		t.Fatal(err)
	}
	if err := dst.Deliver(t.Context(), []Line{{Text: []byte("{}")}}); err == nil {
		t.Error("delivered to a server that was not verified")
	}
	if c.count() != 0 || len(c.bad) != 0 {
		t.Error("the stranger got something")
	}
}

// Over a unix socket a message is a packet; a line no packet can hold goes without its text.
func TestSyslogOverUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "pgs") // a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "log")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	dst, err := NewSyslog(SyslogConfig{Address: "unix://" + path})
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	at := time.Date(2026, 11, 22, 9, 14, 7, 182934000, time.UTC)
	long := `{"v":1,"seq":7,"prev":"00","time":"2026-11-22T09:14:07.182934Z","node":"gw1","event":"statement","stmt":{"text":"` + strings.Repeat("x", 1<<22) + `"}}`
	lines := []Line{
		{Stream: "gw1-20261122T090000.000000Z", Seq: 6, Event: "session.denied", Node: "gw1", Time: at, Text: []byte(`{"a":1}`)},
		{Stream: "gw1-20261122T090000.000000Z", Seq: 7, Event: "statement", Node: "gw1", Time: at, Text: []byte(long)},
	}
	sent := make(chan error, 1)
	go func() { sent <- dst.Deliver(context.Background(), lines) }()
	want := []string{
		`<108>1 2026-11-22T09:14:07.182934Z gw1 pgsignet - session.denied [pgsignet@32473 stream="gw1-20261122T090000.000000Z" seq="6"] {"a":1}`,
		`<110>1 2026-11-22T09:14:07.182934Z gw1 pgsignet - statement [pgsignet@32473 stream="gw1-20261122T090000.000000Z" seq="7"] ` +
			fmt.Sprintf(`{"v":1,"seq":7,"prev":"00","time":"2026-11-22T09:14:07.182934Z","node":"gw1","event":"statement","oversize":%d}`, len(long)),
	}
	buf := make([]byte, 1<<16)
	for _, w := range want {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if string(buf[:n]) != w {
			t.Errorf("got\n%s\nwant\n%s", buf[:n], w)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// A server on a unix socket that goes with lines unread, and another that comes: nothing tells a sender, and it has
// nothing more to send, but the lines are sent again. So it is when the path is the dead one's still.
func TestSyslogNoticesAnotherServer(t *testing.T) {
	dir, err := os.MkdirTemp("", "pgs")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	address := &net.UnixAddr{Name: filepath.Join(dir, "log"), Net: "unixgram"}
	listen := func() *net.UnixConn {
		conn, err := net.ListenUnixgram("unixgram", address)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	first := listen()
	dst, err := NewSyslog(SyslogConfig{Address: "unix://" + address.Name})
	if err != nil {
		t.Fatal(err)
	}
	l, records := openLog(t, audit.Config{})
	if err := errors.Join(l.Append(statement(1)), l.Close()); err != nil {
		t.Fatal(err)
	}
	s := newSink(t, Config{Directory: records, Settle: time.Hour, Every: 10 * time.Millisecond, Retry: 10 * time.Millisecond}, dst)
	stop := start(t, s)
	defer stop()
	poll.Until(t, "delivery", func() bool { return s.Stats().Delivered >= 2 })
	first.Close()
	poll.Until(t, "the sink to notice", func() bool { return s.Stats().Failures > 0 })
	os.Remove(address.Name)
	second := listen()
	defer second.Close()
	second.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 1<<16)
	for seq := 1; seq <= 2; seq++ {
		n, err := second.Read(buf)
		if want := fmt.Sprintf(`seq="%d"]`, seq); err != nil || !strings.Contains(string(buf[:n]), want) {
			t.Fatalf("the new server reads %q, %v, want %s", buf[:n], err, want)
		}
	}
}

// A server that does not read holds up the end of a sink for no longer than it must.
func TestSyslogEndsInTheMiddle(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dst, err := NewSyslog(SyslogConfig{Address: "tcp://" + listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- dst.Deliver(ctx, []Line{{Text: make([]byte, 64<<20)}}) // more than sockets hold
		dst.Close()
	}()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Read(make([]byte, 1))
	cancel()
	if err := <-done; err == nil {
		t.Error("delivered to a server that does not read")
	}
}

// Nothing in a header can end it early.
func TestSyslogHeader(t *testing.T) {
	l := Line{Stream: `a"]\`, Node: "two words\n", Event: "x\x00", Text: []byte("{}")}
	got := string(appendMessage(nil, &l, l.Text))
	if want := `<110>1 0001-01-01T00:00:00.000000Z two?words? pgsignet - x? [pgsignet@32473 stream="a\"\]\\" seq="0"] {}`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
