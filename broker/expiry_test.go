package broker

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestT67EndMovesDuringLogin: between a login's look at when its certificate ends and its place in the
// heap, a CA is taken out and the end comes nearer. The session ends then, not at the old time.
func TestT67EndMovesDuringLogin(t *testing.T) {
	t.Parallel()
	g := newGate(pointEnding)
	var came atomic.Bool
	l := newLab(t, 1, func(point string) {
		if point == g.point && came.CompareAndSwap(false, true) { // the login; the reload passes
			g.at(point)
		}
	}, everybody)
	short := l.Root(pki.Shape{CN: "Short-lived Root"})
	sub := l.Intermediate(l.Clients, pki.Shape{CN: "Sub"})
	end := time.Now().Add(time.Hour)
	cross := l.Issue(short, pki.Shape{CN: "Sub", IsCA: true, SPKI: sub.X509.RawSubjectPublicKeyInfo, NotAfter: end})
	leaf := l.Issue(sub, pki.Shape{CN: "alice"})
	leaf.Chain = append(leaf.Chain, cross.DER)
	l.trust.ClientCA = append(l.trust.ClientCA, l.WriteCA(short, "short"))
	if _, err := l.server.Apply(l.snapshot(l.server.Snapshot(), everybody)); err != nil {
		t.Fatal(err)
	}
	conn := l.dial(leaf)
	<-g.arrived
	if c := l.server.live.all()[0].verified.Load(); len(c.Chains) != 2 || !c.NotAfter.After(end) {
		t.Fatalf("%d chains until %v, want 2 beyond %v", len(c.Chains), c.NotAfter, end)
	}
	l.trust.ClientCA = l.trust.ClientCA[1:]
	if ended, err := l.server.Apply(l.snapshot(l.server.Snapshot(), everybody)); err != nil || ended != 0 {
		t.Fatalf("%d ended, %v", ended, err)
	}
	close(g.open)
	if typ, body := read(conn, "ZE"); typ != 'Z' {
		t.Fatalf("the client reads %c %q", typ, body)
	}
	l.ahead.Store(int64(2 * time.Hour))
	if typ, body := read(conn, "E"); typ != 'E' || !bytes.Contains(body, []byte("57P01")) || !bytes.Contains(body, []byte("expired")) {
		t.Errorf("the client reads %c %q", typ, body)
	}
}

// T67: the end of a certificate is watched of a session that is live, and of none that has left meanwhile: nobody
// would take that one out again.
func TestT67WhoHasLeftIsNotWatched(t *testing.T) {
	t.Parallel()
	server := &Server{live: newLiveSessions(), expiries: newExpiries()}
	s := &session{server: server, id: NewSessionID(time.Now())}
	s.verified.Store(&trust.Verified{NotAfter: time.Now().Add(time.Hour)})
	server.live.enter(s)
	s.watchExpiry()
	if n := len(server.expiries.items); n != 1 {
		t.Errorf("%d watched of one live session", n)
	}
	server.live.leave(s)
	s.watchExpiry()
	if n := len(server.expiries.items) + len(server.expiries.queue); n != 0 {
		t.Errorf("%d watched of a session that has left", n)
	}
}
