package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// W73, W74: of many clients that share few server connections, half cancel what they run at random moments. The others
// never read 57014, and those who cancel read no other error. PGSIGNET_DIFF says how long.
func TestW73RandomCancelsHitNobodyElse(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, patient(Options{Rules: people, Pool: sharedByMany, Audit: `level = "session"`}))
	config, began := b.TLSConfig(w.Client("alice")), time.Now()
	seed := diffSeed(t)
	var cancelled, finished atomic.Int64
	over := func() bool { // a machine that stands still for a while has done nothing yet
		late := time.Since(began) - diffFor(t)/5
		return t.Failed() || late > 0 && cancelled.Load() > 0 && finished.Load() > 0 || late > time.Minute
	}
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			c, err := dialWire(b.Addr, config, "alice", "orders")
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			gone := make(chan struct{})
			if i%2 == 0 {
				all.Go(func() { cancelsAtRandom(b.Addr, c.key, rand.New(rand.NewPCG(seed+1, uint64(i))), gone) })
			}
			defer close(gone)
			for !over() {
				step, readies := Query(fmt.Sprintf("select pg_sleep(0.00%d), 'c%02d'", random.IntN(10), i)), 1
				if random.IntN(2) == 0 {
					readies = 4
					step = joined(parsed("", "select pg_sleep(0.002)"), bound("", ""), executed(""), synced, Query("begin"), step, Query("rollback"))
				}
				c.SetDeadline(time.Now().Add(patience))
				if _, err := c.Write(step); err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				for readies > 0 {
					m, err := c.next()
					if err != nil {
						t.Errorf("client %d: %v", i, err)
						return
					}
					switch {
					case m.Type == 'Z':
						readies--
					case m.Type == 'E' && (i%2 == 1 || Field(m, 'C') != "57014" && Field(m, 'C') != "25P02"):
						t.Errorf("client %d: %s", i, ErrorText(m))
					case m.Type == 'E':
						cancelled.Add(1)
					case m.Type == 'C':
						finished.Add(1)
					}
				}
			}
		})
	}
	all.Wait()
	t.Logf("seed %d: %d cancelled, %d finished", seed, cancelled.Load(), finished.Load())
	if cancelled.Load() == 0 || finished.Load() == 0 {
		t.Error("nothing was cancelled, or nothing finished")
	}
}

// cancelsAtRandom sends cancel requests for a session until over is closed.
func cancelsAtRandom(addr string, key []byte, random *rand.Rand, over chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-time.After(time.Duration(random.IntN(15)) * time.Millisecond):
		}
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Write(append([]byte{0, 0, 0, byte(8 + len(key)), 4, 210, 22, 46}, key...))
			io.Copy(io.Discard, c)
			c.Close()
		}
	}
}
