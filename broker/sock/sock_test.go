package sock_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/sock"
)

// pair returns both ends of a loopback connection, the first as a Conn.
func pair(t testing.TB) (*sock.Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	theirs, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ours := sock.New(raw.(*net.TCPConn))
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs.(*net.TCPConn)
}

// later calls f in a goroutine that the test joins.
func later(t *testing.T, f func()) {
	var g sync.WaitGroup
	g.Go(f)
	t.Cleanup(g.Wait)
}

func TestReadWaitsForBytesAndReportsTheEnd(t *testing.T) {
	ours, theirs := pair(t)
	asked := make(chan struct{})
	later(t, func() {
		<-asked
		theirs.Write([]byte("hello"))
		theirs.CloseWrite()
	})
	close(asked)
	got, err := io.ReadAll(ours) // several reads, the last of which is io.EOF
	if err != nil || string(got) != "hello" {
		t.Fatalf("read %q, %v; want hello and no error", got, err)
	}
	if n, err := ours.Write([]byte("still open")); n != 10 || err != nil {
		t.Fatalf("write after the peer's half-close: %d, %v", n, err)
	}
}

func TestReadNowDoesNotWait(t *testing.T) {
	ours, theirs := pair(t)
	b := make([]byte, 8)
	if n, err := ours.ReadNow(b); n != 0 || err != nil {
		t.Fatalf("read %d, %v of a quiet connection; want nothing and no error", n, err)
	}
	theirs.Write([]byte("hello"))
	awaitPending(t, ours)
	if n, err := ours.ReadNow(b); string(b[:n]) != "hello" || err != nil {
		t.Fatalf("read %q, %v; want hello and no error", b[:n], err)
	}
	theirs.Close()
	awaitPending(t, ours)
	if n, err := ours.ReadNow(b); n != 0 || err != io.EOF {
		t.Fatalf("read %d, %v at the end; want %v", n, err, io.EOF)
	}
	ours.Close()
	if _, err := ours.ReadNow(b); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("read of a closed connection: %v, want %v", err, net.ErrClosed)
	}
}

func TestWriteOfMoreThanTheSocketTakes(t *testing.T) {
	ours, theirs := pair(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB: waits many times
	var got []byte
	var rerr error
	done := make(chan struct{})
	later(t, func() {
		defer close(done)
		got, rerr = io.ReadAll(theirs)
	})
	if n, err := ours.Write(sent); n != len(sent) || err != nil {
		t.Fatalf("wrote %d of %d, %v", n, len(sent), err)
	}
	ours.CloseWrite()
	<-done
	if rerr != nil || !bytes.Equal(got, sent) {
		t.Fatalf("the peer read %d bytes of %d, %v", len(got), len(sent), rerr)
	}
}

func TestDeadlinesAndCloseEndWaits(t *testing.T) {
	read := func(c *sock.Conn) error { _, err := c.Read(make([]byte, 1)); return err }
	write := func(c *sock.Conn) error { _, err := c.Write(make([]byte, 64<<20)); return err }
	for _, tt := range []struct {
		name string
		wait func(*sock.Conn) error
		end  func(*sock.Conn)
		want error
	}{
		{"read, deadline", read, func(c *sock.Conn) { c.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"write, deadline", write, func(c *sock.Conn) { c.SetWriteDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"read, close", read, func(c *sock.Conn) { c.Close() }, net.ErrClosed},
		{"write, close", write, func(c *sock.Conn) { c.Close() }, net.ErrClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ours, _ := pair(t)
			ended := make(chan error, 1)
			later(t, func() { ended <- tt.wait(ours) })
			tt.end(ours) // before or while it waits: both must end it
			err := <-ended
			var op *net.OpError
			if !errors.Is(err, tt.want) || !errors.As(err, &op) {
				t.Fatalf("got %v, want a net.OpError of %v", err, tt.want)
			}
		})
	}
}

func TestReadGoesOnAfterADeadline(t *testing.T) {
	ours, theirs := pair(t)
	ours.SetReadDeadline(time.Unix(1, 0))
	if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read with a past deadline: %v", err)
	}
	ours.SetReadDeadline(time.Time{})
	theirs.Write([]byte("x"))
	if n, err := ours.Read(make([]byte, 8)); n != 1 || err != nil {
		t.Fatalf("read after the deadline was lifted: %d, %v", n, err)
	}
}

func TestResetIsAnError(t *testing.T) {
	ours, theirs := pair(t)
	theirs.SetLinger(0)
	theirs.Close()
	_, err := ours.Read(make([]byte, 1))
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read of a reset connection: %v, want %v", err, syscall.ECONNRESET)
	}
	if _, err := ours.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("write to a reset connection: %v, want %v", err, syscall.EPIPE)
	}
}

func TestPendingLooksAndTakesNothing(t *testing.T) {
	ours, theirs := pair(t)
	if ours.Pending() {
		t.Fatal("a quiet connection has input pending")
	}
	theirs.Write([]byte("ab"))
	awaitPending(t, ours)
	if n, err := io.ReadFull(ours, make([]byte, 2)); n != 2 || err != nil {
		t.Fatalf("read %d, %v; want both bytes", n, err)
	}
	if ours.Pending() {
		t.Fatal("input pending after it was read")
	}
	theirs.Close()
	awaitPending(t, ours)
	ours.Close()
	if !ours.Pending() {
		t.Fatal("a closed connection counts as quiet")
	}
}

func awaitPending(t *testing.T, c *sock.Conn) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !c.Pending(); {
		if time.Now().After(end) {
			t.Fatal("nothing pending within a minute")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestConcurrentUse(t *testing.T) {
	ours, theirs := pair(t)
	later(t, func() { io.Copy(theirs, theirs) }) // an echo
	const writers, each = 4, 200
	var g sync.WaitGroup
	for range writers {
		g.Go(func() {
			for range each {
				ours.Write([]byte("ping"))
				ours.Pending()
			}
		})
	}
	got, err := io.ReadFull(ours, make([]byte, writers*each*4))
	if g.Wait(); err != nil {
		t.Fatalf("read %d bytes, %v", got, err)
	}
	ours.CloseWrite()
}

func TestAllocNoneToReadAndWrite(t *testing.T) {
	ours, theirs := pair(t)
	ping, b := []byte("ping"), make([]byte, 16)
	if n := testing.AllocsPerRun(1000, func() {
		ours.Pending()
		ours.Write(ping)
		theirs.Read(b)
		theirs.Write(ping)
		ours.Read(b)
		ours.ReadNow(b)
	}); n > 0 {
		t.Fatalf("%v allocations for a write, a look and two reads; want none", n)
	}
}

func BenchmarkEcho(b *testing.B) {
	ours, theirs := pair(b)
	ping, in := []byte("ping"), make([]byte, 16)
	b.ReportAllocs()
	for b.Loop() {
		ours.Write(ping)
		theirs.Read(in)
		theirs.Write(ping)
		ours.Read(in)
	}
}
