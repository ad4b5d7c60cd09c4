package e2e

import (
	"context"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// liveLimit is ten times the figure of T65: 2 s from the file's change to a session's end.
const liveLimit = 20 * time.Second

// team lets every certificate of an organisation log in as one role: its sessions share a pool.
const team = `
map "team" {
  match { o = "Team" }
  roles     = ["app"]
  databases = ["orders"]
}
`

func number(n int64) *big.Int { return big.NewInt(n) }

// wantEnd reads the FATAL 57P01 that ends a session and holds its text to the cause.
func wantEnd(t *testing.T, c *Wire, since time.Time, state, cause string) {
	t.Helper()
	m := c.ReadError()
	took := time.Since(since)
	if Field(m, 'S') != "FATAL" || Field(m, 'C') != "57P01" || !strings.Contains(Field(m, 'M'), cause) {
		t.Errorf("%s: the client reads %s, want FATAL 57P01 … %q", state, ErrorText(m), cause)
	}
	for _, secret := range []string{"team", "Team", "app", "crl"} {
		if strings.Contains(Field(m, 'M'), secret) {
			t.Errorf("%s: the text tells %q: %s", state, secret, ErrorText(m))
		}
	}
	if took > liveLimit {
		t.Errorf("%s: ended %v after the file changed, the figure is 2 s", state, took)
	}
	t.Logf("%s: ended after %v: %s", state, took.Round(time.Millisecond), ErrorText(m))
}

// TestA73RevokedWhileLive: a certificate is revoked while its sessions are idle, in a transaction, in
// COPY and in the pool's queue. All end at once with the cause; what was open is rolled back; another
// certificate's session in the same role and pool goes on.
func TestA73RevokedWhileLive(t *testing.T) {
	w := Shared(t)
	w.Exec(t, "orders", "create table if not exists a73 (x int); truncate a73; grant all on a73 to app")
	b := w.Start(t, Options{
		Rules: team, Listener: `crl = ["clients.crl"]`, Pool: "size = 4\n wait_timeout = \"60s\"", Admin: httpOn,
		Files: map[string]string{"clients.crl": string(CRL(t, w.Clients, pki.CRLShape{}))},
	})
	stolen := w.Issue(w.Clients, pki.Shape{O: []string{"Team"}, CN: "stolen"})
	good := b.Connect(t, w.Issue(w.Clients, pki.Shape{O: []string{"Team"}, CN: "good"}), "app", "orders")
	sane(t, good)
	before := b.footprint(t).descriptors

	idle := b.open(t, stolen, "app", "orders")
	tx := b.open(t, stolen, "app", "orders")
	tx.Send(Query("begin; insert into a73 values (1)"))
	tx.ReadUntil('Z')
	copying := b.open(t, stolen, "app", "orders")
	copying.Send(Query("copy a73 from stdin"))
	copying.ReadUntil('G')
	copying.Send(Msg('d', "2\n"))
	queued := b.DialTLS(t, stolen)
	queued.Send(Startup(3<<16, "user", "app", "database", "orders"))
	Poll(t, "the last one to wait for the three before it", func() bool {
		return w.Backends(t, "app") == 4 && b.metrics(t)[`pgsignet_pool_clients{database="orders",state="waiting",upstream="pg"}`] == "1"
	})

	since := time.Now()
	b.WriteCRL(t, "clients.crl", w.Clients, pki.CRLShape{Number: number(2), Revoked: []pki.Revoked{pki.Revoke(stolen)}})
	wantEnd(t, idle, since, "idle", "revoked")
	wantEnd(t, tx, since, "in a transaction", "revoked")
	wantEnd(t, copying, since, "in COPY", "revoked")
	wantEnd(t, queued, since, "in the pool's queue", "revoked")

	sane(t, good)
	if n := one[int](t, good, "select count(*) from a73"); n != 0 {
		t.Errorf("%d rows outlived the sessions that had not committed them", n)
	}
	// One more may be there: dialled for the session that waited, and now idle in the pool.
	Poll(t, "the server connections to be closed", func() bool { return w.Backends(t, "app") <= 2 })
	Poll(t, "no descriptor to be left", func() bool { return b.footprint(t).descriptors <= before+1 })
	for _, r := range b.Records("session.close", 3) {
		if dig(r, "end.reason") != "cert_revoked" || dig(r, "end.sqlstate") != "57P01" {
			t.Errorf("audit: %v", r["end"])
		}
	}
	denied := b.Records("session.denied", 1)
	if len(denied) != 1 || dig(denied[0], "denial.reason") != "cert_revoked" || dig(denied[0], "denial.sqlstate") != "57P01" {
		t.Errorf("audit of the one that waited: %v", denied)
	}
	reload := b.Records("trust.reload", 2)[1]
	if dig(reload, "reload.ended") != 4.0 || dig(reload, "reload.cause") != "file" || dig(reload, "reload.listener") != "main" {
		t.Errorf("audit: %v", reload["reload"])
	}
	if _, err := b.TryConnect(stolen, "app", "orders"); SQLState(err) != "28000" || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("a new login sees %v", err)
	}
}

// TestA57RevokedIntermediateEndsItsChildren: and nobody else (T64).
func TestA57RevokedIntermediateEndsItsChildren(t *testing.T) {
	w := Shared(t)
	sub := w.Intermediate(w.Clients, pki.Shape{CN: "Sub A"})
	other := w.Intermediate(w.Clients, pki.Shape{CN: "Sub B"})
	b := w.Start(t, Options{
		Rules: team, Listener: `crl = ["crls"]`,
		Files: map[string]string{
			"crls/root.crl": string(CRL(t, w.Clients, pki.CRLShape{})),
			"crls/a.crl":    string(CRL(t, sub, pki.CRLShape{})),
			"crls/b.crl":    string(CRL(t, other, pki.CRLShape{})),
		},
	})
	member := pki.Shape{O: []string{"Team"}, CN: "member"}
	child := w.Issue(sub, member)
	direct := b.Connect(t, w.Issue(w.Clients, member), "app", "orders")
	cousin := b.Connect(t, w.Issue(other, member), "app", "orders")
	victims := []*Wire{b.open(t, child, "app", "orders"), b.open(t, w.Issue(sub, member), "app", "orders")}
	since := time.Now()
	b.WriteCRL(t, "crls/root.crl", w.Clients, pki.CRLShape{Number: number(2), Revoked: []pki.Revoked{{Serial: sub.X509.SerialNumber}}})
	for _, v := range victims {
		wantEnd(t, v, since, "a child", "a CA certificate above the client certificate is revoked")
	}
	sane(t, direct)
	sane(t, cousin)
	raw := b.DialTLS(t, child)
	raw.Send(Startup(3<<16, "user", "app", "database", "orders"))
	if m := raw.ReadError(); Field(m, 'C') != "28000" || !strings.Contains(Field(m, 'M')+Field(m, 'D'), "revoked") {
		t.Errorf("a new login reads %s", ErrorText(m))
	}
	if denied := b.Records("session.denied", 1)[0]; dig(denied, "denial.reason") != "revoked_crl" {
		t.Errorf("audit: %v", denied["denial"])
	}
}

// TestA65RemovedCRLKeepsSessions: a list that is gone stops new logins as stale and ends no session.
func TestA65RemovedCRLKeepsSessions(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{
		Rules: people, Listener: `crl = ["crls"]`,
		Files: map[string]string{"crls/root.crl": string(CRL(t, w.Clients, pki.CRLShape{}))},
	})
	alice := b.Connect(t, w.Client("alice"), "alice", "orders")
	if err := os.Remove(filepath.Join(b.Dir, "crls", "root.crl")); err != nil {
		t.Fatal(err)
	}
	Poll(t, "the removal to be noticed", func() bool {
		conn, err := b.TryConnect(w.Client("bob"), "bob", "orders")
		if err == nil {
			conn.Close(context.Background())
		}
		return SQLState(err) == "28000" && len(b.readRecords("session.denied")) > 0 // a login under way is withdrawn instead
	})
	denied := b.Records("session.denied", 1)[0]
	if dig(denied, "denial.reason") != "crl_stale" || strings.Contains(fmt.Sprint(denied["denial"]), "expired") {
		t.Errorf("audit: %v", denied["denial"])
	}
	sane(t, alice)
}

// TestRemovedCAEndsItsSessions: a CA taken out of the bundle ends those it vouched for, by the true
// reason; one that is added and one that stays end nobody.
func TestRemovedCAEndsItsSessions(t *testing.T) {
	w := Shared(t)
	old := w.Root(pki.Shape{CN: "Old Clients CA"})
	b := w.Start(t, Options{Rules: team, Files: map[string]string{"clients-ca.crt": string(w.Clients.PEM()) + string(old.PEM())}})
	member := pki.Shape{O: []string{"Team"}, CN: "member"}
	stays := b.Connect(t, w.Issue(w.Clients, member), "app", "orders")
	goes := b.open(t, w.Issue(old, member), "app", "orders")
	since := time.Now()
	b.WriteFile(t, "clients-ca.crt", []byte(string(w.Root(pki.Shape{CN: "New Clients CA"}).PEM())+string(w.Clients.PEM())))
	wantEnd(t, goes, since, "below the old CA", "not issued by")
	sane(t, stays)
	if r := b.Records("session.close", 1)[0]; dig(r, "end.reason") != "policy_changed" {
		t.Errorf("audit: %v", r["end"])
	}
}

// TestA30ExpiresMidSession: what becomes of a session whose certificate ends is on_expiry's word; a
// login close to the end is told (T67).
func TestA30ExpiresMidSession(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	for _, how := range []string{"disconnect", "drain", "allow"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			b := w.Start(t, Options{Rules: people, Listener: fmt.Sprintf("on_expiry = %q\n expiry_notice = \"1h\"", how)})
			bob := b.Connect(t, w.Client("bob"), "bob", "orders")
			end := time.Now().Add(12 * time.Second) // by then both have logged in
			leaf := w.Issue(w.Clients, pki.Shape{CN: "alice", NotAfter: end})
			idle, tx := b.DialTLS(t, leaf), b.open(t, leaf, "alice", "orders")
			idle.Send(Startup(3<<16, "user", "alice", "database", "orders"))
			var notice string
			for _, m := range idle.ReadUntil('Z') {
				if m.Type == 'N' {
					notice = ErrorText(m)
				}
			}
			if want := leaf.X509.NotAfter.UTC().Format("2006-01-02 15:04:05 UTC"); !strings.HasPrefix(notice, "NOTICE 00000") || !strings.Contains(notice, want) {
				t.Errorf("the login reads %q, want a NOTICE with %s", notice, want)
			}
			tx.Send(Query("begin"))
			tx.ReadUntil('Z')
			past := func() { <-time.After(time.Until(leaf.X509.NotAfter.Add(1500 * time.Millisecond))) } // of the wall clock
			switch how {
			case "disconnect":
				wantEnd(t, idle, end, "idle", "expired")
				wantEnd(t, tx, end, "in a transaction", "expired")
			case "drain":
				wantEnd(t, idle, end, "idle", "expired")
				tx.Send(Query("select 1"))
				tx.ReadUntil('Z')
				tx.Send(Query("commit"))
				tx.ReadUntil('Z')
				wantEnd(t, tx, end, "after its transaction", "expired")
			case "allow":
				past()
				for _, c := range []*Wire{idle, tx} {
					c.Send(Query("select 1"))
					c.ReadUntil('Z')
				}
			}
			if how != "allow" {
				for _, r := range b.Records("session.close", 2) {
					if dig(r, "end.reason") != "cert_expired" || dig(r, "end.sqlstate") != "57P01" {
						t.Errorf("audit: %v", r["end"])
					}
				}
			}
			sane(t, bob)
			if _, err := b.TryConnect(leaf, "alice", "orders"); SQLState(err) != "28000" || !strings.Contains(err.Error(), "expired") {
				t.Errorf("a new login sees %v", err)
			}
		})
	}
}

// TestA115RotationUnderLoad: the listener's certificate and key are replaced, one file after the
// other, while clients log in: none fails, and the new certificate is served.
func TestA115RotationUnderLoad(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people})
	alice := w.Client("alice")
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			conn, err := b.TryConnect(alice, "alice", "orders")
			if err != nil {
				done <- fmt.Errorf("login %d: %w", n, err)
				return
			}
			conn.Close(context.Background())
		}
	}()
	for range 3 {
		next := w.Server("localhost")
		key, err := next.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		b.WriteFile(t, "server.crt", next.PEM())
		time.Sleep(300 * time.Millisecond) // half a pair lies there for longer than the watcher waits
		b.WriteFile(t, "server.key", key)
		Poll(t, "the new certificate to be served", func() bool {
			c := b.DialTLS(t, nil)
			defer c.Close()
			return c.ServerCertificate().Equal(next.X509)
		})
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
