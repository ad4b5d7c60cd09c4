package broker

import (
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestPanicsLeaveNothingBehind: a bug at any point of a login ends that login. Its client reads an
// internal error, and nothing of it is left: neither server connection, place, key nor index entry.
func TestPanicsLeaveNothingBehind(t *testing.T) {
	for _, point := range []string{
		pointEntered, pointDeciding, pointDecided, pointLeased, pointRecorded, pointConfirmed, pointWelcomed,
	} {
		t.Run(point, func(t *testing.T) {
			l := newLab(t, 1, func(at string) {
				if at == point {
					panic("a bug")
				}
			}, everybody)
			for range 3 { // with one server connection in all
				conn := l.dial(l.Issue(l.Clients, pki.Shape{CN: "alice"}))
				typ, body := read(conn, "E")
				if typ != 'E' || !strings.Contains(string(body), "XX000") || strings.Contains(string(body), "a bug") {
					t.Fatalf("the client reads %c %q, want an internal error", typ, body)
				}
				conn.Close()
			}
			s := l.server
			left := func() int {
				n := len(s.live.all()) + int(s.doors[0].clients.Load()) + int(s.doors[0].halfOpen.Load()) + len(s.count.open)
				s.keys.mu.RLock()
				defer s.keys.mu.RUnlock()
				n += len(s.keys.keys)
				for _, p := range s.pools.Stats() {
					n += p.Active + p.Closing + p.Waiting
				}
				return n
			}
			for deadline := time.Now().Add(time.Minute); left() > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%d things are left of the logins: %+v", left(), s.pools.Stats())
				}
			}
		})
	}
}
