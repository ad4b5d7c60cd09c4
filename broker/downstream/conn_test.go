package downstream_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/downstream"
	"github.com/pgsignet/pgsignet/testenv/race"
)

// counted counts the writes to a socket.
type counted struct {
	*net.TCPConn
	writes atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.TCPConn.Write(p)
}

// tap copies what a client receives below TLS.
type tap struct {
	net.Conn
	seen bytes.Buffer
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.seen.Write(p[:n])
	return n, err
}

// W85: records of at most 8 KiB, those of one write in one system call.
func TestWriteRecords(t *testing.T) {
	raws := make(chan *counted, 1)
	d := open(t, nil, func(c net.Conn) net.Conn {
		raw := &counted{TCPConn: c.(*net.TCPConn)}
		raws <- raw
		return raw
	})
	for _, tt := range []struct {
		bytes  int
		writes int64
	}{{0, 0}, {1, 1}, {8 << 10, 1}, {8<<10 + 1, 1}, {40 << 10, 1}, {100 << 10, 2}, {1 << 20, 17}} {
		t.Run(fmt.Sprint(tt.bytes), func(t *testing.T) {
			p := d.dial()
			wiretap := &tap{Conn: p.Conn}
			p.Conn = wiretap
			p = p.mustEncrypt(d.clientTLS()).send(login)
			c := d.admitted()
			raw := <-raws
			want := bytes.Repeat([]byte("0123456789abcdef"), tt.bytes/16+1)[:tt.bytes]
			before := raw.writes.Load()
			sent := make(chan error, 1)
			go func() {
				n, err := c.Conn.Write(want)
				if err == nil && n != len(want) {
					err = io.ErrShortWrite
				}
				sent <- err
			}()
			got := make([]byte, len(want))
			if _, err := io.ReadFull(p, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("got %d bytes, %v", len(got), err)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			if writes := raw.writes.Load() - before; writes > tt.writes {
				t.Errorf("%d writes, want at most %d", writes, tt.writes)
			}
			checkRecords(t, wiretap.seen.Bytes())
		})
	}
}

// checkRecords measures TLS records: type, version, length, then 8 KiB and what TLS 1.3 adds.
func checkRecords(t *testing.T, b []byte) {
	t.Helper()
	for len(b) >= 5 {
		n := int(binary.BigEndian.Uint16(b[3:]))
		if n > 8<<10+1+16 {
			t.Errorf("record of %d bytes", n)
		}
		b = b[min(len(b), 5+n):]
	}
}

// Two writers: neither's bytes are mixed with the other's.
func TestWritersDoNotMix(t *testing.T) {
	d := open(t, nil, nil)
	p := d.secure().send(login)
	c := d.admitted()
	const size, rounds = 30_000, 20
	var writers sync.WaitGroup
	for _, letter := range []string{"a", "b"} {
		writers.Go(func() {
			for range rounds {
				if _, err := c.Conn.Write([]byte(strings.Repeat(letter, size))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	got := make([]byte, 2*rounds*size)
	if _, err := io.ReadFull(p, got); err != nil {
		t.Fatal(err)
	}
	writers.Wait()
	for chunk := range slices.Chunk(got, size) {
		if n := bytes.Count(chunk, chunk[:1]); n != size {
			t.Fatalf("%d of %d bytes are %q", n, size, chunk[:1])
		}
	}
}

// W84: a write to a client that does not read ends, with or without TLS.
func TestWriteTimeout(t *testing.T) {
	d := open(t, func(c *downstream.Config) { c.WriteTimeout = 200 * time.Millisecond }, nil)
	d.secure().send(login)
	if err := writeUntilError(d.admitted().Conn); !isTimeout(err) {
		t.Errorf("got %v", err)
	}
}

func writeUntilError(c net.Conn) error {
	b := make([]byte, 1<<20)
	for {
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
}

// A caller's deadline holds until it is taken back, then the automatic one is there again.
func TestWriteDeadlineOfCaller(t *testing.T) {
	ours, theirs := unixPair(t)
	done := make(chan *downstream.Client)
	go func() {
		c, _, err := downstream.AdmitLocal(context.Background(), ours, patience)
		if err != nil {
			t.Error(err)
		}
		done <- c
	}()
	p := (&peer{t, theirs}).send(login)
	c := <-done
	defer c.Conn.Close()
	if err := c.Conn.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Conn.Write([]byte("x")); !isTimeout(err) {
		t.Errorf("past deadline: got %v", err)
	}
	if err := c.Conn.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Conn.Write([]byte("y")); err != nil {
		t.Errorf("no deadline: got %v", err)
	}
	p.expect("y")
}

// A blocked write ends when its deadline is set to the past, as a blocked read does.
func TestBlockedWriteEnds(t *testing.T) {
	blocked := make(chan struct{}, 1)
	d := open(t, nil, func(c net.Conn) net.Conn { return &slow{c.(*net.TCPConn), blocked} })
	d.secure().send(login)
	c := d.admitted()
	done := make(chan error, 1)
	go func() { done <- writeUntilError(c.Conn) }()
	<-blocked
	if err := c.Conn.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !isTimeout(err) {
		t.Errorf("got %v", err)
	}
}

// slow announces the first write of some size.
type slow struct {
	*net.TCPConn
	blocked chan struct{}
}

func (s *slow) Write(p []byte) (int, error) {
	if len(p) > 32<<10 {
		select {
		case s.blocked <- struct{}{}:
		default:
		}
	}
	return s.TCPConn.Write(p)
}

// The relay writes through Conn: in the steady state it does not allocate.
func TestWriteAllocates(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	d := open(t, nil, nil)
	p := d.secure().send(login)
	c := d.admitted()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, p.Conn.(*tls.Conn).NetConn())
	}()
	for _, size := range []int{100, 32 << 10} {
		b := make([]byte, size)
		if n := testing.AllocsPerRun(200, func() {
			if _, err := c.Conn.Write(b); err != nil {
				t.Fatal(err)
			}
		}); n >= 1 {
			t.Errorf("%d bytes: %v allocations", size, n)
		}
	}
	_ = c.Conn.Close()
	<-drained
}

func BenchmarkWrite(b *testing.B) {
	d := open(b, nil, nil)
	p := d.secure().send(login)
	c := d.admitted()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, p.Conn.(*tls.Conn).NetConn())
	}()
	for _, size := range []int{64, 8 << 10, 64 << 10} {
		msg := make([]byte, size)
		b.Run(fmt.Sprintf("msg=%dB", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Conn.Write(msg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	_ = c.Conn.Close()
	<-drained
}

func BenchmarkAdmit(b *testing.B) {
	d := open(b, nil, nil)
	b.ReportAllocs()
	for b.Loop() {
		conn, err := net.Dial("tcp", d.addr)
		if err != nil {
			b.Fatal(err)
		}
		p := (&peer{b, conn}).mustEncrypt(d.clientTLS()).send(login)
		o := <-d.outcomes
		if o.err != nil {
			b.Fatal(o.err)
		}
		o.close()
		_ = p.Close()
	}
}

// Idle returns at once when TLS has something in hand, waits for what comes later, and ends by its deadline,
// after which the connection is as good as before.
func TestIdle(t *testing.T) {
	d := open(t, nil, nil)
	p := d.secure().send(login)
	c := d.admitted().Conn
	idle := func(want string) {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(patience))
		got := make([]byte, len(want))
		for have := 0; have < len(want); {
			if err := c.Idle(); err != nil {
				t.Fatalf("got %q, waiting: %v; want %q", got[:have], err, want)
			}
			n, err := c.Read(got[have:min(have+2, len(want))])
			if err != nil {
				t.Fatalf("got %q, %v; want %q", got[:have], err, want)
			}
			have += n
		}
		if string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	p.send([]byte("first"))
	p.send([]byte("second")) // two records, which may come in one read of the socket
	idle("first")
	idle("second")

	_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if err := c.Idle(); !isTimeout(err) {
		t.Errorf("nothing sent: %v, want a timeout", err)
	}
	asked := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() { <-asked; p.send([]byte("later")) })
	close(asked)
	idle("later")
	sender.Wait()
	_ = p.Close()
	_ = c.Idle()
	if n, err := c.Read(make([]byte, 5)); n != 0 || err == nil || isTimeout(err) {
		t.Errorf("the client has left: %d, %v", n, err)
	}
}

// What a client sends in one record with its start-up packet is in TLS's hand when the session begins to wait:
// the socket stays quiet for good.
func TestIdleBehindALogin(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			d := open(t, nil, nil)
			config := d.clientTLS() // of TLS 1.2 the server has read the whole handshake when the client sends this
			config.MinVersion, config.MaxVersion = version, version
			d.dial().send(sslRequest).expect("S").mustEncrypt(config).send(slices.Concat(login, []byte("firstsecond")))
			c := d.admitted().Conn
			_ = c.SetReadDeadline(time.Now().Add(patience))
			for _, want := range []string{"first", "second"} {
				if err := c.Idle(); err != nil {
					t.Fatalf("waiting for %q: %v", want, err)
				}
				got := make([]byte, len(want))
				if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
					t.Fatalf("got %q, %v; want %q", got, err, want)
				}
			}
		})
	}
}
