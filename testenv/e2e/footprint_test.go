package e2e

import (
	"context"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// footprint is what a broker holds that an attack could leave behind. What its pools keep for the
// next session is not in it.
type footprint struct {
	descriptors int // files and sockets
	goroutines  int
	serving     int // server connections that are with a session, or on their way to or from one
	halfOpen    int // connections that have not logged in
	open        int // sessions
}

// footprint reads what the broker holds at this moment; the broker needs its HTTP endpoint.
func (b *Broker) footprint(t *testing.T) footprint {
	t.Helper()
	var f footprint
	idle := 0
	for series, value := range b.metrics(t) {
		n, _ := strconv.ParseFloat(value, 64)
		name, labels, _ := strings.Cut(series, "{")
		switch {
		case name == "process_open_fds":
			f.descriptors = int(n) // /proc/PID/fd is root's, since the broker lets nobody dump it (A120)
		case name == "go_goroutines":
			f.goroutines = int(n)
		case name == "pgsignet_pool_servers" && strings.Contains(labels, `state="idle"`):
			idle += int(n)
		case name == "pgsignet_pool_servers":
			f.serving += int(n)
		case name == "pgsignet_connections" && strings.Contains(labels, `state="half_open"`):
			f.halfOpen += int(n)
		case name == "pgsignet_connections":
			f.open += int(n)
		}
	}
	f.descriptors -= idle
	f.goroutines -= idle // each idle server connection has its reader
	return f
}

func (f footprint) within(limit footprint) bool {
	return f.descriptors <= limit.descriptors && f.goroutines <= limit.goroutines && f.serving <= limit.serving &&
		f.halfOpen <= limit.halfOpen && f.open <= limit.open
}

// watch is a broker under attack: a good session beside it, and what the broker held before.
type watch struct {
	*Broker
	good   *pgx.Conn
	pid    int // of the good session's server connection
	before footprint
}

// underWatch starts a broker with a good session that must not notice what follows.
func underWatch(t *testing.T, o Options) *watch {
	t.Helper()
	return underWatchBy(t, Shared(t).Client("boss"), "127.0.0.1", o)
}

// underWatchBy is underWatch with the good session by that certificate, which is boss's, from that
// loopback address.
func underWatchBy(t *testing.T, boss *pki.Leaf, address string, o Options) *watch {
	t.Helper()
	w := Shared(t)
	if o.Rules == "" {
		o.Rules = people
	}
	o.Admin = httpOn
	b := w.Start(t, o)
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	good, err := b.TryConnect(boss, "boss", "orders", func(cfg *pgx.ConnConfig) { cfg.DialFunc = from.DialContext })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { good.Close(context.Background()) })
	return b.watch(t, good)
}

// watch notes what the broker holds, with good open.
func (b *Broker) watch(t *testing.T, good *pgx.Conn) *watch {
	t.Helper()
	sane(t, good)
	b.metrics(t) // the scrape's own connection is part of what follows
	return &watch{Broker: b, good: good, pid: one[int](t, good, "select pg_backend_pid()"), before: b.usual(t)}
}

// usual is the footprint that is first found ten times: a broker that does nothing has now and then a
// goroutine more or less, of a timer or of the scrape itself, and one look may catch the less.
func (b *Broker) usual(t *testing.T) footprint {
	t.Helper()
	for seen := map[footprint]int{}; ; {
		f := b.footprint(t)
		if seen[f]++; seen[f] == 10 {
			return f
		}
	}
}

// undisturbed expects that the good session goes on where it was and that nothing else is left of
// what came since: goroutines, sockets, server connections.
func (w *watch) undisturbed(t *testing.T) {
	t.Helper()
	if err := w.good.Ping(context.Background()); err != nil {
		t.Fatalf("the good session was hurt: %v", err)
	}
	if pid := one[int](t, w.good, "select pg_backend_pid()"); pid != w.pid {
		t.Errorf("the good session moved from backend %d to %d", w.pid, pid)
	}
	var now footprint
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("before %+v, after %+v", w.before, now)
			syscall.Kill(w.PID(), syscall.SIGQUIT) // its goroutines end the output
		}
	})
	Poll(t, "nothing to be left", func() bool { now = w.footprint(t); return now.within(w.before) })
}
