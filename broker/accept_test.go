package broker

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/admin"
)

// accepting is a door with room for one half-open connection, which is taken, and the server behind it.
func accepting(t *testing.T) (*Server, *door) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Listener: Listener{HalfOpen: 1}, name: "main", net: l}
	d.halfOpen.Store(1)
	s := &Server{log: zap.NewNop(), metrics: admin.NewMetrics("", nil)}
	t.Cleanup(func() { l.Close() })
	return s, d
}

// come has n clients connect, one after the other, all before anybody is accepted.
func come(t *testing.T, d *door, n int) (clients []net.Conn) {
	t.Helper()
	for range n {
		c, err := net.Dial("tcp", d.net.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		clients = append(clients, c)
	}
	return clients
}

// expectEnd fails the test unless the broker has closed the connection.
func expectEnd(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a connection that was shut out: %v, want its end", err)
	}
}

// T86: who shuts out many leaves the processor to sessions every few.
func TestAFullDoorPauses(t *testing.T) {
	s, d := accepting(t)
	const rows = 5
	clients := come(t, d, 1+rows*shedInRow)
	var acceptor sync.WaitGroup
	began := time.Now()
	acceptor.Go(func() { s.accept(d) })
	for _, c := range clients {
		expectEnd(t, c)
	}
	if took := time.Since(began); took < rows*shedPause {
		t.Errorf("%d connections were shut out in %v, want a pause of %v after each %d", len(clients), took, shedPause, shedInRow)
	}
	d.net.Close()
	acceptor.Wait()
	if n := d.halfOpen.Load(); n != 1 {
		t.Errorf("%d are half open, want the one that was", n)
	}
}
