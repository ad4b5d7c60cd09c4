package broker

import (
	"runtime"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/testenv/race"
)

// An idle client's goroutine waits with so little on its stack that 4 KiB hold it: what it had taken for its
// login and its queries the collector takes back. One frame too many between serve and the socket and
// it would be 8 KiB, for each of thousands.
func TestIdleStackFigure(t *testing.T) {
	if race.Enabled {
		t.Skip("with the race detector frames are larger")
	}
	const clients, most = 256, 4<<10 + 512
	l := newLab(t, 2, nil, everybody)
	l.up.Pool.Mode = relay.TransactionMode
	leaf := l.Client("app")
	come := func(n int) {
		for range n {
			conn := l.login(leaf)
			conn.Write([]byte("Q\x00\x00\x00\x0dselect 1\x00"))
			if typ, body := read(conn, "ZE"); typ != 'Z' {
				t.Fatalf("query: %c %q", typ, body)
			}
		}
	}
	come(8) // what there is once
	before := stacks()
	come(clients)
	deadline := time.Now().Add(time.Minute)
	for {
		each := (stacks() - before) / clients
		if each <= most {
			t.Logf("%d bytes of stack for each idle client", each)
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes of stack for each idle client, want at most %d: 4 KiB and what lies between stacks", each, most)
		}
	}
}

// stacks is what all stacks take once the collector has cut those that are too large: it halves one at a time.
func stacks() int64 {
	for range 4 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.StackInuse)
}
