package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// explained is a policy that uses every attribute of match and every kind of condition.
const explained = `
deny "serial" {
  match { serial = "/^[0-9a-f]*00$" }
}
deny "stock at dawn" {
  match { o = ["Guests", "Audit"] }
  databases = ["stock"]
}
map "never" {
  match { cn = "alice" }
  role      = "boss"
  databases = ["orders"]
  from      = ["192.0.2.0/24"]
}
map "mesh" {
  match { uri = "/^spiffe://prod[.]example/ns/([a-z]+)/sa/.*$" }
  role      = "$1"
  databases = ["orders"]
}
map "team" {
  match { extension = { "1.3.6.1.4.1.55555.1.1" = ["payments", "/^dev-.*$"] } }
  assume    = true
  role      = "app"
  databases = ["*"]
}
map "mail" {
  match {
    email  = "/^([a-z_]+)@example[.]com$"
    issuer = "/.*CN=.*"
  }
  role      = "$1"
  databases = ["orders", "stock"]
  when      = request.user != "limited" || request.application_name == "batch"
}
map "billing" {
  match { ou = "Billing" }
  roles     = ["billing_rw", "billing_ro"]
  databases = ["orders"]
}
map "people" {
  match { cn = "/^([a-z_]+)$" }
  role      = "$1"
  databases = ["stock"]
  when      = length(cert.ou) < 2
}
map "guests" {
  match { o = "Guests" }
  role      = "limited"
  databases = ["orders"]
  pool_mode = "transaction"
  listeners = ["main"]
}
`

// drawShape is a certificate out of a small world, so that rules and certificates often meet.
func drawShape(r *rand.Rand) (shape pki.Shape, foreign bool) {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	var subject pki.Name
	for range r.IntN(3) {
		subject = append(subject, pki.OU(pick("Billing", "Billing", "Ops")))
	}
	if r.IntN(3) == 0 {
		subject = append(subject, pki.O(pick("Guests", "Audit", "Gäste")))
	}
	for range 1 + r.IntN(9)/8 { // now and then two
		subject = append(subject, pki.CN(pick("alice", "alice", "bob", "billing_rw", "limited", "Alice", "postgres", "pg_read_all_data", "a b")))
	}
	shape = pki.Shape{Subject: subject}
	if r.IntN(3) == 0 {
		shape.Email = []string{pick("alice", "bob", "limited", "ali.ce") + "@" + pick("example.com", "example.com", "example.com.evil.com")}
	}
	if r.IntN(5) == 0 {
		shape.URI = []string{"spiffe://" + pick("prod.example", "prod.example", "test.example") + "/ns/" + pick("alice", "app", "boss1") + "/sa/api"}
	}
	if r.IntN(4) == 0 {
		shape.Ext = []pki.Extension{pki.StringExtension(pki.OID{1, 3, 6, 1, 4, 1, 55555, 1, 1}, pki.UTF8String, pick("payments", "dev-1", "ops", "pay\x01ments"))}
	}
	switch r.IntN(12) {
	case 0:
		shape.NotBefore, shape.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	case 1:
		shape.ServerAuth = true
	case 2:
		foreign = true
	}
	return shape, foreign
}

// verdictOf is a login's end in a form to compare: "granted MAP ROLE DATABASE" or "refused REASON".
func (b *Broker) verdictOf(t *testing.T, c *pgx.Conn, err error, opens *int) string {
	t.Helper()
	if err == nil {
		*opens++
		records := b.Records("session.open", *opens)
		c.Close(context.Background())
		r := records[*opens-1]
		return fmt.Sprint("granted ", dig(r, "rule.name"), " ", dig(r, "granted.role"), " ", dig(r, "granted.database"))
	}
	_, sid, ok := strings.Cut(err.Error(), "(session ")
	if !ok {
		t.Fatalf("a refusal without a session id: %v", err)
	}
	sid, _, _ = strings.Cut(sid, ")")
	reason := ""
	Poll(t, "the refusal's log line", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, l := range b.lines {
			if l["msg"] == "session refused" && l["sid"] == sid {
				reason = l["reason"].(string)
			}
		}
		return reason != ""
	})
	return "refused " + reason
}

// T50: explain says of a login what the broker does: verdict, reason, map, role and database.
func TestT50ExplainEqualsTheLogin(t *testing.T) {
	w := Shared(t)
	path := w.WriteConfig(t, Options{Rules: explained})
	b := w.StartConfig(t, path)
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 50))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	stranger, err := pki.NewRoot(pki.Shape{CN: "Strangers"})
	if err != nil {
		t.Fatal(err)
	}
	opens, seen := 0, map[string]int{}
	for i := range 150 {
		shape, foreign := drawShape(r)
		ca := w.Clients
		if foreign {
			ca = stranger
		}
		leaf := w.issue(t, ca, shape)
		user := pick("alice", "alice", "bob", "billing_rw", "billing_ro", "limited", "app", "nobody", "postgres")
		if r.IntN(2) == 0 {
			user = string(shape.Subject[len(shape.Subject)-1][0].Value)
		}
		database, app := pick("orders", "orders", "stock", "nosuch"), pick("batch", "api")
		c, lerr := b.TryConnect(leaf, user, database, func(cfg *pgx.ConnConfig) {
			cfg.RuntimeParams["application_name"] = app
			cfg.TLSConfig = b.TLSConfig(leaf) // sends a stranger's, too
		})
		login := b.verdictOf(t, c, lerr, &opens)

		cert, _ := b.WriteCert(leaf)
		out, errs, status := w.run(t, "explain", "--config", path, "--cert", cert, "--user", user, "--database", database,
			"--from", "127.0.0.1", "--application-name", app, "--json")
		var e struct {
			Granted bool
			Grant   struct{ Map, Role, Database string }
			Refusal struct{ Reason string }
		}
		if err := json.Unmarshal([]byte(out), &e); err != nil {
			t.Fatalf("explain: %v\n%s%s", err, out, errs)
		}
		said, wantStatus := fmt.Sprint("granted ", e.Grant.Map, " ", e.Grant.Role, " ", e.Grant.Database), 0
		if !e.Granted {
			said, wantStatus = "refused "+e.Refusal.Reason, 3
		}
		if said != login || status != wantStatus {
			t.Errorf("seed %d, login %d: certificate %+v of %s, user %q, database %q, application %q:\nthe broker: %s (%v)\nexplain:    %s, status %d",
				seed, i, shape, map[bool]string{false: "ours", true: "a stranger"}[foreign], user, database, app, login, lerr, said, status)
		}
		verdict, _, _ := strings.Cut(strings.TrimPrefix(login, "granted "), " alice")
		seen[verdict]++
	}
	t.Logf("150 logins, %d granted: %v", opens, seen)
	if opens < 5 || opens > 145 {
		t.Errorf("%d of 150 logins were granted: the world is too small to prove anything", opens)
	}
}

// wantExplained holds explain to the outcome of a case of the catalogue (T50). It has no handshake: of a
// certificate that crypto/tls ends with an alert it need only say no.
func (b *Broker) wantExplained(t *testing.T, tt attack) {
	t.Helper()
	if tt.leaf == nil {
		return
	}
	cert, _ := b.WriteCert(tt.leaf)
	out, errs, status := b.World.run(t, "explain", "--config", filepath.Join(b.Dir, "pgsignet.hcl"), "--cert", cert, "--user", tt.user,
		"--database", tt.database, "--from", "127.0.0.1", "--json")
	if strings.HasPrefix(tt.want, "alert ") {
		if status == 0 {
			t.Errorf("explain grants what the handshake ends: %s", out)
		}
		return
	}
	var e struct {
		Granted bool
		Refusal struct{ Reason string }
	}
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		t.Fatalf("explain: %v\n%s%s", err, out, errs)
	}
	granted := tt.want == "ok" || tt.want == "upstream_refused" // of the server it knows nothing
	if e.Granted != granted || !e.Granted && e.Refusal.Reason != tt.want {
		t.Errorf("explain: granted %v, %s; the broker: %s", e.Granted, e.Refusal.Reason, tt.want)
	}
}
