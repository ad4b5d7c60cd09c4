package e2e

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// However a connection ends that was accepted, it is counted once, by reason; and a flood of refusals, which
// the metrics and the audit have in full, is a few lines of the log.
func TestEveryConnectionIsCounted(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	b := w.Start(t, Options{Rules: admins, Admin: httpOn, Listener: "admin = true\nhalf_open_per_address = 60"})
	strange, err := pki.NewRoot(pki.Shape{CN: "strange"})
	if err != nil {
		t.Fatal(err)
	}
	alice := w.Client("alice")
	for range 3 {
		b.Dial(t).Close() // a probe
		b.Dial(t).Write([]byte("GET / HTTP/1.0\r\n\r\n"))
		b.Dial(t).Write(sequence(Startup(3<<16, "user", "alice"))) // plaintext
		b.DialTLS(t, alice).Close()
		cancel := b.Dial(t)
		cancel.Write([]byte("\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x01\x00\x00\x00\x02"))
		b.Connect(t, alice, "alice", "orders").Close(context.Background())
		b.Connect(t, w.admin(t, "Viewers"), "anybody", "pgsignet").Close(context.Background())
	}
	const flood = 60
	for _, leaf := range []*pki.Leaf{nil, w.issue(t, strange, pki.Shape{CN: "alice"}), alice} {
		for range flood {
			if _, err := b.TryConnect(leaf, "bob", "orders", func(cfg *pgx.ConnConfig) { cfg.TLSConfig = b.TLSConfig(leaf) }); SQLState(err) != "28000" {
				t.Fatalf("%v, want 28000", err)
			}
		}
	}
	idle := make([]*Wire, 70) // more than may be half open
	for i := range idle {
		idle[i] = b.Dial(t)
	}
	Poll(t, "some to be shut out", func() bool {
		return b.metrics(t)[`pgsignet_connections_refused_total{listener="main",reason="half_open_per_address"}`] != "0"
	})
	for _, c := range idle {
		c.Close()
	}
	var sums map[string]int
	Poll(t, "every connection to be counted", func() bool {
		sums = map[string]int{}
		for series, value := range b.metrics(t) {
			name, _, _ := strings.Cut(series, "{")
			n, _ := strconv.Atoi(value)
			sums[strings.TrimPrefix(name, "pgsignet_")] += n
		}
		return sums["connections_total"] == sums["connections_refused_total"]+sums["connections_abandoned_total"]+
			sums["logins_denied_total"]+sums["logins_total"]+sums["cancel_requests_total"]
	})
	if sums["connections_total"] < 3*flood || sums["connections_abandoned_total"] < 3 || sums["cancel_requests_total"] != 3 {
		t.Errorf("counted %v", sums)
	}
	for _, reason := range []string{"no_cert", "unknown_ca", "user_not_granted"} {
		if n := b.metrics(t)[fmt.Sprintf("pgsignet_logins_denied_total{reason=%q}", reason)]; n != fmt.Sprint(flood) {
			t.Errorf("%s is counted %s times, want %d", reason, n, flood)
		}
		Poll(t, "a record of every refusal", func() bool { return b.denials(reason) == flood })
	}
}
