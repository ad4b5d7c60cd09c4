package broker

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"math/big"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/poll"
)

// gate holds whoever comes to a point until it is opened.
type gate struct {
	point   string
	arrived chan struct{}
	open    chan struct{}
	once    sync.Once
}

func newGate(point string) *gate {
	return &gate{point: point, arrived: make(chan struct{}), open: make(chan struct{})}
}

// at is a barrier: the first that comes waits, all later ones pass.
func (g *gate) at(point string) {
	if point != g.point {
		return
	}
	g.once.Do(func() {
		close(g.arrived)
		<-g.open
	})
}

// TestT90NoWindow: at each point of a login a reload lands that withdraws the access. Whatever the point,
// the client does not stay: it is refused, or its session ends with 57P01; its server connection is not
// handed on and nothing of it is left.
func TestT90NoWindow(t *testing.T) {
	for _, point := range loginPoints {
		for _, change := range []string{"deny", "revoked", "unrelated"} {
			t.Run(point+"/"+change, func(t *testing.T) {
				g := newGate(point)
				newLab(t, 4, g.at, everybody).reloadAt(g, change)
			})
		}
	}
}

var loginPoints = []string{pointEntered, pointDeciding, pointDecided, pointLeased, pointRecorded, pointConfirmed, pointWelcomed}

// TestT90NoWindowWithoutServer: the same for a login in transaction mode that is let in without a
// server connection, by what an earlier one was told.
func TestT90NoWindowWithoutServer(t *testing.T) {
	for _, point := range loginPoints {
		for _, change := range []string{"deny", "unrelated"} {
			t.Run(point+"/"+change, func(t *testing.T) {
				g, armed := newGate(point), false
				l := newLab(t, 4, func(at string) {
					if armed {
						g.at(at)
					}
				}, everybody)
				l.up.Pool.Mode, l.up.Pool.LoginCheck = relay.TransactionMode, time.Hour
				l.login(l.Client("alice")).Close()
				poll.Until(t, "the first session to be gone", func() bool { return len(l.server.live.all()) == 0 })
				armed = true
				l.reloadAt(g, change)
				if n := l.server.pools.Stats()[0].Leases; n != 1 {
					t.Errorf("%d server connections were leased, want the first login's alone", n)
				}
			})
		}
	}
}

// TestT90TheLastLookAtTheSnapshot: a snapshot that is put in force after the decision, and has not got as far as the
// live sessions, is found by the login itself: a client whose access it withdraws or changes is never welcomed.
func TestT90TheLastLookAtTheSnapshot(t *testing.T) {
	elsewhere := everybody
	elsewhere.PoolMode = "transaction"
	for _, tt := range []struct {
		name  string
		rules []policy.Rule
		code  string // of the refusal; "": welcomed
	}{
		{"deny", []policy.Rule{everybody, denied("alice")}, "C28000\x00"},
		{"another pool mode", []policy.Rule{elsewhere}, "C57P01\x00"},
		{"unrelated", []policy.Rule{everybody, denied("bob")}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGate(pointRecorded)
			l := newLab(t, 1, g.at, everybody)
			conn := l.dial(l.Client("alice"))
			<-g.arrived
			l.server.snapshot.Store(l.snapshot(l.server.Snapshot(), tt.rules...)) // as Apply does before it looks at who is live
			close(g.open)
			switch typ, body := read(conn, "RZE"); {
			case tt.code == "" && typ != 'R', tt.code != "" && (typ != 'E' || !bytes.Contains(body, []byte(tt.code))):
				t.Errorf("the client reads %c %q, want %q", typ, body, tt.code)
			}
		})
	}
}

// reloadAt holds a login of alice's at the gate, has a reload withdraw her access or change something
// else, and checks what becomes of her.
func (l *lab) reloadAt(g *gate, change string) {
	t := l.t
	t.Helper()
	alice := l.Client("alice")
	conn := l.dial(alice)
	<-g.arrived
	rules := []policy.Rule{everybody}
	switch change {
	case "deny":
		rules = append(rules, denied("alice"))
	case "revoked":
		l.revoke(t, alice)
	}
	if _, err := l.server.Apply(l.snapshot(l.server.Snapshot(), rules...)); err != nil {
		t.Fatal(err)
	}
	close(g.open)
	typ, body := read(conn, "ZE")
	if change == "unrelated" {
		if typ != 'Z' {
			t.Errorf("an unrelated reload refused a login: %q", body)
		}
		return
	}
	if typ == 'Z' { // it was told before the reload, and must be told again
		typ, body = read(conn, "E")
	}
	if typ != 'E' || !bytes.Contains(body, []byte("FATAL")) || !bytes.Contains(body, []byte("57P01")) && !bytes.Contains(body, []byte("28000")) {
		t.Errorf("the client reads %c %q, want FATAL 28000 or 57P01", typ, body)
	}
	if typ, body := read(conn, "Z"); typ != 0 {
		t.Errorf("and goes on: %c %q", typ, body)
	}
	conn.Close()
	poll.Until(t, "the session to be gone", func() bool { return len(l.server.live.all()) == 0 })
	poll.Until(t, "nobody to wait for its certificate's end", func() bool {
		e := l.server.expiries
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.items) == 0
	})
	l.login(l.Client("bob"))
}

// TestT90QueuedSession: a session that waits for a server connection is ended in the queue, and a
// hand-off after its end goes to somebody else.
func TestT90QueuedSession(t *testing.T) {
	l := newLab(t, 1, nil, everybody)
	holder := l.login(l.Client("bob"))
	queued := l.dial(l.Client("alice"))
	poll.Until(t, "alice to wait", func() bool { return len(l.server.pools.Stats()) == 1 && l.server.pools.Stats()[0].Waiting == 1 })
	next := l.dial(l.Client("carol"))
	poll.Until(t, "carol to wait", func() bool { return l.server.pools.Stats()[0].Waiting == 2 })
	ended, err := l.server.Apply(l.snapshot(l.server.Snapshot(), everybody, denied("alice")))
	if err != nil || ended != 1 {
		t.Errorf("%d ended, %v; want 1", ended, err)
	}
	if typ, body := read(queued, "ZE"); typ != 'E' || !bytes.Contains(body, []byte("57P01")) {
		t.Errorf("the one that waited reads %c %q", typ, body)
	}
	holder.Close()
	if typ, body := read(next, "ZE"); typ != 'Z' {
		t.Errorf("the next in the queue reads %c %q", typ, body)
	}
}

// revoke puts a CRL with the certificate into what the next snapshot loads.
func (l *lab) revoke(t testing.TB, leaf *pki.Leaf) {
	t.Helper()
	pem, err := l.Clients.CRLPEM(pki.CRLShape{Revoked: []pki.Revoked{pki.Revoke(leaf)}, Number: big.NewInt(2)})
	if err != nil {
		t.Fatal(err)
	}
	path := l.Dir + "/clients.crl"
	if err := os.WriteFile(path, pem, 0o644); err != nil {
		t.Fatal(err)
	}
	l.trust.CRL = []string{path}
}

// TestA121LiveSessionsOutlastAJump: the wall clock goes a day ahead and back; no session ends.
func TestA121LiveSessionsOutlastAJump(t *testing.T) {
	l := newLab(t, 2, nil, everybody)
	conn := l.login(l.Client("alice"))
	var mu sync.Mutex
	f := fakeClocks{wall: time.Now()}
	clock := newSteadyClock(func() (time.Time, time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		return f.read()
	})
	for _, jump := range []time.Duration{48 * time.Hour, -48 * time.Hour, -24 * time.Hour, 24 * time.Hour} {
		f.wall = f.wall.Add(jump)
		for range 100 { // 50 s
			f.pass(expiryTick)
			for _, c := range l.server.expiries.due(clock.now()) {
				c.expired()
			}
		}
	}
	conn.Write([]byte("Q\x00\x00\x00\x0dselect 1\x00"))
	if typ, _ := read(conn, "ZE"); typ != 'Z' {
		t.Error("a jump of the wall clock ended a session")
	}
	f.wall = f.wall.Add(48 * time.Hour) // to stay
	poll.Until(t, "the certificate to have expired", func() bool {
		f.pass(expiryTick)
		due := l.server.expiries.due(clock.now())
		for _, c := range due {
			c.expired()
		}
		return len(due) > 0
	})
	if typ, body := read(conn, "E"); typ != 'E' || !bytes.Contains(body, []byte("expired")) {
		t.Errorf("the client reads %c %q", typ, body)
	}
}

// liveSessionsCount is the number of sessions in the figures of T65.
const liveSessionsCount = 5000

// many fills a server's index with sessions of n certificates that hold no sockets.
func many(tb testing.TB, l *lab, n int) []*pki.Leaf {
	tb.Helper()
	leaves := make([]*pki.Leaf, 50)
	for i := range leaves {
		leaves[i] = l.Client(fmt.Sprintf("client%d", i))
	}
	model := l.login(leaves[0])
	poll.Until(tb, "the model session", func() bool { return len(l.server.live.all()) == 1 && l.server.live.all()[0].verified.Load() != nil })
	pattern := l.server.live.all()[0]
	for i := range n {
		c := &session{id: NewSessionID(time.Now()), server: l.server, door: pattern.door, began: time.Now(), client: pattern.client, stop: func(error) {}}
		snap := l.server.Snapshot()
		peer, _ := leaves[i%len(leaves)].Peer()
		copied := *pattern.client
		copied.TLS = tls.ConnectionState{PeerCertificates: peer}
		c.client = &copied
		c.ctx = tb.Context()
		if _, err := c.decideBy(snap, time.Now()); err != nil {
			tb.Fatal(err)
		}
		l.server.live.enter(c)
	}
	tb.Cleanup(func() { // not before: the copies share its connection, and one that hangs up is noticed
		model.Close()
		for _, c := range l.server.live.all() {
			if c != pattern {
				l.server.live.leave(c)
				l.server.expiries.forget(c)
			}
		}
	})
	return leaves
}

// TestT64RevokedAmongManyLiveSessions: of 5 000 sessions exactly those of the revoked certificate end, in
// less than ten times the 2 s of T65, from the file to the last end.
func TestT64RevokedAmongManyLiveSessions(t *testing.T) {
	l := newLab(t, 2, nil, everybody)
	leaves := many(t, l, liveSessionsCount)
	began := time.Now()
	l.revoke(t, leaves[7])
	newest, err := trust.Load(l.trust, time.Now(), l.server.Snapshot().Trust["main"])
	if err != nil {
		t.Fatal(err)
	}
	ended, err := l.server.ApplyTrust("main", newest)
	took := time.Since(began)
	if err != nil || ended != liveSessionsCount/len(leaves) {
		t.Errorf("%d ended, %v; want %d", ended, err, liveSessionsCount/len(leaves))
	}
	for _, c := range l.server.live.all() {
		if v := c.verified.Load(); c.isEnded() != slices.Equal(v.Leaf.Raw, leaves[7].DER) {
			t.Fatalf("session of %s ended: %v", v.Leaf.Subject, c.isEnded())
		}
		if end := c.judge(l.server.Snapshot(), time.Now()); (end != nil) != c.isEnded() {
			t.Fatalf("the chain alone says ended %v, the whole decision %v", c.isEnded(), end)
		}
	}
	t.Logf("%d of %d sessions ended, decided and told in %v", ended, liveSessionsCount, took)
	if took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestT64AnAnchorComes: a CA that is added gives chains that were built without it another look, and ends
// nobody; one that goes ends its own.
func TestT64AnAnchorComes(t *testing.T) {
	l := newLab(t, 4, nil, everybody)
	other := l.Root(pki.Shape{CN: "Other"})
	both := append(slices.Clone(l.trust.ClientCA), l.WriteCA(other, "other"))
	apply := func(files []string, want int) {
		t.Helper()
		l.trust.ClientCA = files
		newest, err := trust.Load(l.trust, time.Now(), l.server.Snapshot().Trust["main"])
		if err != nil {
			t.Fatal(err)
		}
		if ended, err := l.server.ApplyTrust("main", newest); err != nil || ended != want {
			t.Errorf("%d ended, %v; want %d", ended, err, want)
		}
	}
	stays := l.login(l.Client("alice"))
	apply(both, 0)
	goes := l.login(l.Issue(other, pki.Shape{CN: "bob"}))
	apply(both[:1], 1)
	if typ, body := read(goes, "ZE"); typ != 'E' || !bytes.Contains(body, []byte("57P01")) {
		t.Errorf("bob reads %c %q", typ, body)
	}
	stays.Write([]byte("Q\x00\x00\x00\x0dselect 1\x00"))
	if typ, body := read(stays, "ZE"); typ != 'Z' {
		t.Errorf("alice reads %c %q", typ, body)
	}
}

// BenchmarkApplyTrust is a changed CRL that concerns nobody under 5 000 live sessions of 50 certificates.
func BenchmarkApplyTrust(b *testing.B) {
	l := newLab(b, 2, nil, everybody)
	many(b, l, liveSessionsCount)
	for b.Loop() {
		b.StopTimer()
		newest, err := trust.Load(l.trust, time.Now(), l.server.Snapshot().Trust["main"])
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if ended, err := l.server.ApplyTrust("main", newest); err != nil || ended != 0 {
			b.Fatal(ended, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/liveSessionsCount, "ns/session")
}

// BenchmarkApply is one reload under 5 000 live sessions.
func BenchmarkApply(b *testing.B) {
	l := newLab(b, 2, nil, everybody)
	many(b, l, liveSessionsCount)
	next := l.snapshot(l.server.Snapshot(), everybody)
	for b.Loop() {
		if _, err := l.server.Apply(next); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/liveSessionsCount, "ns/session")
}
