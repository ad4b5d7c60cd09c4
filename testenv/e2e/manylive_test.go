package e2e

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// liveCount is how many sessions TestT64OneOfManyLive holds: PGSIGNET_LIVE, for the figure 5000.
func liveCount(t *testing.T) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("PGSIGNET_LIVE"), "200"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// busy are clients that ask all the time, and how long each answer took.
type busy struct {
	mu   sync.Mutex
	took []time.Duration
}

func (b *busy) run(c *Wire, stop *atomic.Bool) {
	for !stop.Load() {
		began := time.Now()
		c.Send(Query("select 1"))
		c.ReadUntil('Z')
		b.mu.Lock()
		b.took = append(b.took, time.Since(began))
		b.mu.Unlock()
	}
}

// take returns and forgets what was measured: how many answers, their median and their 99th percentile.
func (b *busy) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.Sort(b.took)
	n := len(b.took)
	if n == 0 {
		return "no answer"
	}
	text := fmt.Sprintf("%d answers, median %v, p99 %v", n, b.took[n/2].Round(10*time.Microsecond), b.took[n*99/100].Round(10*time.Microsecond))
	b.took = nil
	return text
}

// TestT64OneOfManyLive: of many live sessions, each with sockets of its own, one certificate is revoked: its
// session ends in less than ten times the 2 s of the figure, and no other does; the log has the figures.
func TestT64OneOfManyLive(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	n := liveCount(t)
	b := w.Start(t, Options{
		Rules: team, Listener: fmt.Sprintf("crl = [\"clients.crl\"]\n max_clients = %d", n+100), Pool: transactions(8, ""),
		Files: map[string]string{"clients.crl": string(CRL(t, w.Clients, pki.CRLShape{}))},
	})
	leaves := make([]*pki.Leaf, 50)
	for i := range leaves {
		leaves[i] = w.Issue(w.Clients, pki.Shape{O: []string{"Team"}, CN: fmt.Sprintf("member %d", i)})
	}
	sessions := make([]*Wire, n)
	var next atomic.Int64
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				sessions[i] = b.open(t, leaves[i%int64(len(leaves))], "app", "orders")
				sessions[i].SetDeadline(time.Time{})
			}
		})
	}
	clients.Wait()
	stolen := w.Issue(w.Clients, pki.Shape{O: []string{"Team"}, CN: "stolen"})
	victim := b.open(t, stolen, "app", "orders")

	var others busy
	var stop atomic.Bool
	for _, c := range sessions[:4] {
		clients.Go(func() { others.run(c, &stop) })
	}
	time.Sleep(time.Second) // to compare with
	t.Logf("%d sessions; before: %s", n, others.take())
	since := time.Now()
	b.WriteCRL(t, "clients.crl", w.Clients, pki.CRLShape{Number: number(2), Revoked: []pki.Revoked{pki.Revoke(stolen)}})
	wantEnd(t, victim, since, "the one", "revoked")
	t.Logf("from the file to the end: %s", others.take())
	stop.Store(true)
	clients.Wait()

	if ended := dig(b.Records("trust.reload", 2)[1], "reload.ended"); ended != 1.0 {
		t.Errorf("%v sessions ended, want 1", ended)
	}
	for _, c := range sessions {
		c.SetDeadline(time.Now().Add(time.Minute))
		c.Send(Query("select 1"))
		c.ReadUntil('Z')
	}
	if closed := b.Records("session.close", 1); len(closed) != 1 {
		t.Errorf("%d sessions closed, want the one", len(closed))
	}
}
