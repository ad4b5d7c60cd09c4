package broker

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/admin"
)

// knocks is a listener at which n connections wait, and that is closed when they have been accepted.
type knocks struct{ n int }

func (k *knocks) Accept() (net.Conn, error) {
	if k.n--; k.n < 0 {
		return nil, net.ErrClosed
	}
	near, far := net.Pipe()
	return near, far.Close()
}

func (k *knocks) Close() error   { return nil }
func (k *knocks) Addr() net.Addr { return &net.TCPAddr{} }

// T86: who shuts out many leaves the processor to sessions every few.
func TestAFullDoorPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100 * shutInRow
		d := &door{Listener: Listener{HalfOpen: 1}, name: "main", net: &knocks{n}}
		d.halfOpen.Store(1)
		s := &Server{log: zap.NewNop(), metrics: admin.NewMetrics("", nil)}
		began := time.Now()
		s.accept(d)
		if took, want := time.Since(began), n/shutInRow*shutPause; took != want {
			t.Errorf("%d connections are shut out in %v of pauses, want %v", n, took, want)
		}
		if n := d.halfOpen.Load(); n != 1 {
			t.Errorf("%d are half open, want the one that was", n)
		}
	})
}
