//go:build linux

package sock_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/sock"
)

func TestShedClosesAllButTheFirstThatIsNotKeptOut(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil && address[0] == '[' {
			t.Logf("%s is left out, there is no IPv6: %v", address, err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var clients []net.Conn
		for range 5 {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute))
			clients = append(clients, c)
		}
		asked := 0
		kept, err := sock.Shed(l.(*net.TCPListener), 10, func(from netip.Addr) bool {
			if want := clients[0].LocalAddr().(*net.TCPAddr).AddrPort().Addr(); from.Unmap() != want {
				t.Errorf("%s: asked for %v, want %v", address, from, want)
			}
			asked++
			return asked < 4
		})
		if err != nil || kept == nil || asked != 4 {
			t.Fatalf("%s: %v, %v after %d", address, kept, err, asked)
		}
		defer kept.Close()
		for _, c := range clients[:3] {
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("%s: who is kept out reads %v, want the end", address, err)
			}
		}
		if got, want := kept.RemoteAddr().String(), clients[3].LocalAddr().String(); got != want {
			t.Errorf("%s: kept %s, want %s", address, got, want)
		}
		exchange(t, kept, clients[3])
	}
}

// exchange sends a byte each way; the accepted end has to wait for its one.
func exchange(t *testing.T, accepted, client net.Conn) {
	t.Helper()
	ours := sock.New(accepted.(*net.TCPConn))
	later(t, func() { client.Write([]byte{1}) })
	one := make([]byte, 1)
	if _, err := ours.Read(one); err != nil {
		t.Error(err)
	}
	if _, err := ours.Write(one); err != nil {
		t.Error(err)
	}
	if _, err := client.Read(one); err != nil {
		t.Error(err)
	}
}

func TestShedDoesNotWait(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out := func(netip.Addr) bool { return true }
	if c, err := sock.Shed(l.(*net.TCPListener), 10, out); c != nil || err != nil {
		t.Errorf("nobody has come: %v, %v", c, err)
	}
	l.Close()
	if _, err := sock.Shed(l.(*net.TCPListener), 10, out); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed listener: %v", err)
	}
}

func TestShedLeavesTheRest(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	asked := 0
	out := func(netip.Addr) bool { asked++; return true }
	if c, err := sock.Shed(l.(*net.TCPListener), 2, out); c != nil || err != nil || asked != 2 {
		t.Errorf("%v, %v after %d, want 2", c, err, asked)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
