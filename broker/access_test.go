package broker

import (
	"bytes"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// TestT65SameAccess: each part of an access that cannot change under a live session ends it; limits,
// settings, the rule's name and the audit's level do not.
func TestT65SameAccess(t *testing.T) {
	access := func(change func(*policy.Grant)) *decision {
		g := &policy.Grant{Role: "r", Upstream: "u", DBName: "d", Database: "db", PoolMode: "session"}
		change(g)
		return &decision{grant: g}
	}
	was := access(func(*policy.Grant) {})
	for name, tt := range map[string]struct {
		change func(*policy.Grant)
		same   bool
	}{
		"nothing":        {func(*policy.Grant) {}, true},
		"role":           {func(g *policy.Grant) { g.Role = "x" }, false},
		"upstream":       {func(g *policy.Grant) { g.Upstream = "x" }, false},
		"database there": {func(g *policy.Grant) { g.DBName = "x" }, false},
		"database":       {func(g *policy.Grant) { g.Database = "x" }, false},
		"replication":    {func(g *policy.Grant) { g.Replication = true }, false},
		"admin":          {func(g *policy.Grant) { g.Admin = "viewer" }, false},
		"pool mode":      {func(g *policy.Grant) { g.PoolMode = "transaction" }, false},
		"limits":         {func(g *policy.Grant) { g.Limits.Sessions = 1 }, true},
		"settings":       {func(g *policy.Grant) { g.Session.Settings = []policy.Setting{{Name: "a", Value: "b"}} }, true},
		"rule":           {func(g *policy.Grant) { g.Rule.Name = "x" }, true},
		"audit":          {func(g *policy.Grant) { g.Audit = "full" }, true},
	} {
		if got := sameAccess(was, access(tt.change)); got != tt.same {
			t.Errorf("%s changed: same access %t, want %t", name, got, tt.same)
		}
	}
}

// TestT92WhoIsMeant: a lock hits its certificate or identity and nobody else: a serial only of that issuer,
// and of that issuer's key; and no longer than it was set for.
func TestT92WhoIsMeant(t *testing.T) {
	ca, twin := &x509.Certificate{RawSubjectPublicKeyInfo: []byte("ca")}, &x509.Certificate{RawSubjectPublicKeyInfo: []byte("twin")}
	leaf := &x509.Certificate{}
	v := &trust.Verified{Chains: [][]*x509.Certificate{{leaf, ca}}}
	id := &identity.Identity{SHA256: "aa", SPKISHA256: "bb", DN: "CN=alice", SPIFFE: "spiffe://a/b", Serial: "7f", Issuer: "CN=CA",
		URI: []string{"spiffe://a/b"}}
	two := *id
	two.SPIFFE, two.URI = "", []string{"spiffe://a/x", "spiffe://a/b"}
	serial := func(value, issuer string) admin.Target {
		return admin.Target{Kind: "serial", Value: value, Issuer: issuer}
	}
	for _, tt := range []struct {
		target admin.Target
		keys   []string
		id     *identity.Identity
		want   bool
	}{
		{admin.Target{Kind: "sha256", Value: "aa"}, nil, id, true}, {admin.Target{Kind: "sha256", Value: "bb"}, nil, id, false},
		{admin.Target{Kind: "spki", Value: "bb"}, nil, id, true}, {admin.Target{Kind: "spki", Value: "aa"}, nil, id, false},
		{admin.Target{Kind: "dn", Value: "CN=alice"}, nil, id, true}, {admin.Target{Kind: "dn", Value: "CN=Alice"}, nil, id, false},
		{admin.Target{Kind: "spiffe", Value: "spiffe://a/b"}, nil, id, true}, {admin.Target{Kind: "spiffe", Value: "spiffe://a/c"}, nil, id, false},
		{admin.Target{Kind: "spiffe", Value: "spiffe://a/b"}, nil, &two, true}, // ambiguous, and meant
		{serial("7f", "CN=CA"), nil, id, true}, {serial("7f", "CN=Other"), nil, id, false}, {serial("7e", "CN=CA"), nil, id, false},
		{serial("7f", "CN=CA"), []string{keyHash(ca)}, id, true}, {serial("7f", "CN=CA"), []string{keyHash(twin)}, id, false},
		{admin.Target{Kind: "nonsense", Value: "aa"}, nil, id, false},
	} {
		if got := meant(tt.target, tt.keys, tt.id, v); got != tt.want {
			t.Errorf("%+v by %v: meant %t, want %t", tt.target, tt.keys, got, tt.want)
		}
		now := time.Now()
		l := &locks{}
		if err := l.add(admin.Lock{Target: tt.target, IssuerKeys: tt.keys, Until: now.Add(time.Hour)}, now); err != nil {
			t.Fatal(err)
		}
		if got := l.find(tt.id, v, now) != nil; got != tt.want {
			t.Errorf("%+v: locked %t, want %t", tt.target, got, tt.want)
		}
		if l.find(tt.id, v, now.Add(2*time.Hour)) != nil {
			t.Errorf("%+v: locked past its end", tt.target)
		}
	}
}

// TestT90TheLastLook: before a client is let in, a lock that came after its decision keeps it out, though it may not
// have found the session, and so does whatever has ended the session.
func TestT90TheLastLook(t *testing.T) {
	server, snap := &Server{}, &Snapshot{}
	server.snapshot.Store(snap)
	s := &session{server: server}
	s.decided.Store(&decision{
		snapshot: snap, identity: &identity.Identity{DN: "CN=alice"}, verified: &trust.Verified{}, grant: &policy.Grant{},
	})
	if err := s.confirm(); err != nil {
		t.Fatal(err)
	}
	alice := admin.Target{Kind: "dn", Value: "CN=alice"}
	if err := server.locks.add(admin.Lock{Target: alice}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if denied, ok := errors.AsType[*policy.Denied](s.confirm()); !ok || denied.Reason() != "locked" {
		t.Errorf("locked: got %v", denied)
	}
	if n, err := server.locks.remove(alice, time.Now()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	end := killed()
	s.ended.Store(&end)
	if err := s.confirm(); !errors.Is(err, end.Tell) {
		t.Errorf("ended: got %v, want %v", err, end.Tell)
	}
}

// T92: whose certificate is locked is refused by the decision itself: no server connection is made for it, and the
// record has a refusal and no access that was withdrawn.
func TestT92LockedGetsNothing(t *testing.T) {
	l := newLab(t, 1, nil, everybody)
	if err := l.server.locks.add(admin.Lock{Target: admin.Target{Kind: "dn", Value: "CN=alice"}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	conn := l.dial(l.Client("alice"))
	if typ, body := read(conn, "RE"); typ != 'E' || !bytes.Contains(body, []byte("C28000\x00")) {
		t.Errorf("the client reads %c %q, want 28000", typ, body)
	}
	l.poll("the session to be gone", func() bool { return len(l.server.live.all()) == 0 })
	l.poll("a record of the session", func() bool { return strings.Contains(recordedText(t, l.record), `"event":"session.`) })
	if text := recordedText(t, l.record); strings.Contains(text, `"event":"session.open"`) {
		t.Errorf("recorded as an access:\n%s", text)
	}
	if n := l.pg.Accepted(); n != 0 {
		t.Errorf("%d server connections were made", n)
	}
}
