package e2e

import (
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// attack is one case of docs/attack-catalogue.md that a certificate makes, and its outcome: "ok", the
// reason of a refusal, or "alert N".
type attack struct {
	name string
	leaf *pki.Leaf // nil: none is presented
	want string

	user     string // default alice
	database string // default orders
	told     string // in message or detail
	code     string // default 28000
	noLibpq  bool   // OpenSSL does not use such a certificate
}

// attackRules has no word that a refusal could contain by chance.
const attackRules = `
map "zz_cn" {
  match { cn = "/^([a-z_0-9]+)$" }
  role      = "$1"
  databases = ["orders"]
}
map "zz_mail" {
  match { email = "alice@example.com" }
  roles     = ["alice"]
  databases = ["orders"]
}
map "zz_host" {
  match { dns = ["/.*corp[.]?", "xn--bcher-kva.example"] }
  roles     = ["alice"]
  databases = ["orders"]
}
map "zz_addr" {
  match { ip = "10.0.0.0/8" }
  roles     = ["alice"]
  databases = ["orders"]
}
map "zz_unit" {
  match { ou = ["/lic", "/^anna|bob$", "/(?i)kiss", "josé"] }
  roles     = ["alice"]
  databases = ["orders"]
}
map "zz_optional" {
  match { o = "/^svc(-[a-z]+)?$" }
  role      = "$1"
  databases = ["orders"]
}
map "zz_ext" {
  match { extension = { "1.3.6.1.4.1.55555.1.1" = "payments" } }
  roles     = ["alice"]
  databases = ["orders"]
}
map "zz_spiffe" {
  match { spiffe = "spiffe://prod.example/a" }
  roles     = ["alice"]
  databases = ["orders"]
}
deny "zz_thief" {
  match { cn = "mallory" }
}
`

// oidTeam is the extension that attackRules reads.
var oidTeam = pki.OID{1, 3, 6, 1, 4, 1, 55555, 1, 1}

// secrets are what no refusal may tell.
var secrets = []string{"zz_", "bob", "billing", "pg_hba", "PRIVATE"}

// runAttacks holds one broker to all cases: what raw bytes, pgx and psql see, what the audit holds, that one
// attempt is one event, that a session beside goes on, and that nothing is left.
func runAttacks(t *testing.T, o Options, cases []attack) {
	t.Helper()
	if o.Rules == "" {
		o.Rules = attackRules
	}
	b := underWatch(t, o)
	attempts := 0
	for _, tt := range cases {
		if tt.user == "" {
			tt.user = "alice"
		}
		if tt.database == "" {
			tt.database = "orders"
		}
		t.Run(tt.name, func(t *testing.T) {
			switch number, alert := strings.CutPrefix(tt.want, "alert "); {
			case alert:
				attempts++
				b.wantAlert(t, tt, number)
			case tt.want == "ok":
				b.open(t, tt.leaf, tt.user, tt.database)
			default:
				attempts += b.wantRefusal(t, tt)
			}
			b.wantExplained(t, tt)
		})
	}
	Poll(t, "one audit event for each attempt", func() bool { return b.denials("") == attempts })
	b.undisturbed(t)
}

// denials counts the refused attempts of a reason; a line may stand for several.
func (b *Broker) denials(reason string) int {
	n := 0
	for _, r := range b.readRecords("session.denied") {
		if reason != "" && dig(r, "denial.reason") != reason {
			continue
		}
		count, _ := dig(r, "denial.count").(float64)
		n += max(1, int(count))
	}
	return n
}

// wantRefusal makes the attempt with three clients and says how many there were.
func (b *Broker) wantRefusal(t *testing.T, tt attack) (attempts int) {
	t.Helper()
	if tt.code == "" {
		tt.code = "28000"
	}
	c := b.DialTLS(t, tt.leaf)
	c.Send(Startup(3<<16, "user", tt.user, "database", tt.database))
	m := c.ReadError()
	if Field(m, 'S') != "FATAL" || Field(m, 'C') != tt.code || !strings.Contains(Field(m, 'M')+" "+Field(m, 'D'), tt.told) {
		t.Errorf("raw: %s; %s, want FATAL %s … %q", ErrorText(m), Field(m, 'D'), tt.code, tt.told)
	}
	for _, secret := range secrets {
		if strings.Contains(string(m.Body), secret) {
			t.Errorf("the refusal tells %q: %q", secret, m.Body)
		}
	}
	b.wantDenial(t, m, tt)

	_, err := b.TryConnect(nil, tt.user, tt.database, func(c *pgx.ConnConfig) { c.TLSConfig = b.TLSConfig(tt.leaf) })
	if SQLState(err) != tt.code || !strings.Contains(err.Error(), "FATAL") {
		t.Errorf("pgx: %v, want SQLSTATE %s", err, tt.code)
	}
	if tt.noLibpq {
		return 2
	}
	message, _, _ := strings.Cut(Field(m, 'M'), " (session ")
	_, errs, err := b.Psql(b.DSN(tt.leaf, tt.user, tt.database), "select 1")
	if err == nil || !strings.Contains(errs, "FATAL:  "+message) {
		t.Errorf("psql: %q, want FATAL and %q", errs, message)
	}
	return 3
}

// wantDenial looks for the audit record by the session id that the client was told.
func (b *Broker) wantDenial(t *testing.T, m Message, tt attack) {
	t.Helper()
	var denied map[string]any
	Poll(t, "the audit record of "+ErrorText(m), func() bool {
		all := b.readRecords("session.denied")
		i := slices.IndexFunc(all, func(r map[string]any) bool { return strings.Contains(Field(m, 'M'), r["sid"].(string)) })
		if i >= 0 {
			denied = all[i]
		}
		return i >= 0
	})
	if dig(denied, "denial.reason") != tt.want || dig(denied, "denial.sqlstate") != tt.code {
		t.Errorf("audit: %v, want reason %s", denied["denial"], tt.want)
	}
	if tt.leaf != nil && dig(denied, "cert.sha256") != tt.leaf.SHA256() {
		t.Errorf("audit names certificate %v, want %s", dig(denied, "cert.sha256"), tt.leaf.SHA256())
	}
}

// wantAlert expects that the broker ends TLS with an alert, during the handshake or right after it.
func (b *Broker) wantAlert(t *testing.T, tt attack, number string) {
	t.Helper()
	before := b.denials("tls")
	err := b.handshake(t, b.TLSConfig(tt.leaf))
	if got := alertOf(err); got != number {
		t.Errorf("got %v (alert %s), want alert %s", err, got, number)
	}
	Poll(t, "an audit event at stage tls", func() bool { return b.denials("tls") == before+1 })
}

// handshake asks for TLS, completes the handshake as far as the broker lets it, and returns what ended
// the connection.
func (b *Broker) handshake(t *testing.T, cfg *tls.Config) error {
	t.Helper()
	c := b.Dial(t)
	defer c.Close()
	c.Send([]byte{0, 0, 0, 8, 4, 210, 22, 47})
	var answer [1]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(c.Conn, cfg)
	if err := conn.Handshake(); err != nil {
		return err
	}
	conn.Write(Startup(3<<16, "user", "alice", "database", "orders"))
	_, err := conn.Read(answer[:])
	return err
}

// alertOf is the number of the TLS alert that the peer has sent, or "".
func alertOf(err error) string {
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return strconv.Itoa(int(alert))
	}
	for text, number := range map[string]string{
		"bad certificate": "42", "unsupported certificate": "43", "illegal parameter": "47", "error decoding message": "50",
		"error decrypting message": "51", "protocol version": "70", "internal error": "80", "no application protocol": "120",
		"handshake failure": "40", "unexpected message": "10", "inappropriate fallback": "86", "unsupported extension": "110",
	} {
		if err != nil && strings.Contains(err.Error(), "remote error") && strings.Contains(err.Error(), text) {
			return number
		}
	}
	return ""
}
