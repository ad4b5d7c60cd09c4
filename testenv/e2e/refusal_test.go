package e2e

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// refusal is one login that must fail, and what everybody sees of it.
type refusal struct {
	name     string
	leaf     *pki.Leaf
	user     string
	database string
	code     string
	text     string // in the message
	reason   string // in the audit
	stage    string
}

const notAdmitted = "certificate not admitted"

func refusals(w *World) []refusal {
	stranger := w.Root(pki.Shape{Subject: pki.Name{pki.CN("Stranger CA")}})
	expired := w.Issue(w.Clients, pki.Shape{
		Subject: pki.Name{pki.CN("alice")}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
	})
	nobody := w.Issue(w.Clients, pki.Shape{Subject: pki.Name{pki.CN("Nobody At All")}})
	return []refusal{
		{"no certificate", nil, "alice", "orders", "28000", "certificate", "no_cert", "tls"},
		{"unknown CA", w.Issue(stranger, pki.Shape{Subject: pki.Name{pki.CN("alice")}}), "alice", "orders", "28000", "", "unknown_ca", "tls"},
		{"expired", expired, "alice", "orders", "28000", "expired", "expired", "tls"},
		{"no map", nobody, "alice", "orders", "28000", notAdmitted, "no_map", "policy"},
		{"user not mapped", w.Client("alice"), "bob", "orders", "28000", notAdmitted, "user_not_granted", "policy"},
		{"database not granted", w.Client("alice"), "alice", "secrets", "28000", notAdmitted, "database_not_granted", "policy"},
		{"role absent upstream", w.Client("missing"), "missing", "orders", "28000", "", "upstream_refused", "pool"},
	}
}

func TestEveryRefusalSaysWhy(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people})
	for _, r := range refusals(w) {
		t.Run(r.name, func(t *testing.T) {
			raw := b.DialTLS(t, r.leaf)
			raw.Send(Startup(3<<16, "user", r.user, "database", r.database))
			m := raw.ReadError()
			if Field(m, 'S') != "FATAL" || Field(m, 'V') != "FATAL" || Field(m, 'C') != r.code || !strings.Contains(Field(m, 'M'), r.text) {
				t.Errorf("client sees %s, want FATAL %s … %q", ErrorText(m), r.code, r.text)
			}
			for _, secret := range []string{"people", "billing", "orders", "pg_hba", "map "} {
				if strings.Contains(string(m.Body), secret) && secret != r.database {
					t.Errorf("W16: the refusal tells %q: %q", secret, m.Body)
				}
			}
			denied := b.denialOf(m)
			if dig(denied, "denial.reason") != r.reason || dig(denied, "denial.stage") != r.stage || dig(denied, "denial.sqlstate") != r.code {
				t.Errorf("audit: %v, want reason %s at stage %s", denied["denial"], r.reason, r.stage)
			}
			if r.leaf != nil && dig(denied, "cert.sha256") != r.leaf.SHA256() {
				t.Errorf("audit names certificate %v, want %s", dig(denied, "cert.sha256"), r.leaf.SHA256())
			}

			_, err := b.TryConnect(r.leaf, r.user, r.database)
			if SQLState(err) != r.code || !strings.Contains(err.Error(), r.text) {
				t.Errorf("pgx sees %v, want SQLSTATE %s and %q", err, r.code, r.text)
			}
			_, errs, err := b.Psql(b.DSN(r.leaf, r.user, r.database), "select 1")
			if err == nil || !strings.Contains(errs, "FATAL:") || !strings.Contains(errs, r.text) || !strings.Contains(errs, "(session ") {
				t.Errorf("psql shows %q, want FATAL, %q and the session id", errs, r.text)
			}
		})
	}
	good := b.Connect(t, w.Client("alice"), "alice", "orders")
	one[int](t, good, "select 1")
}

// denialOf is the audit record of a refusal, found by the session id that the client was told.
func (b *Broker) denialOf(m Message) map[string]any {
	b.t.Helper()
	_, rest, _ := strings.Cut(Field(m, 'M'), "(session ")
	sid, _, found := strings.Cut(rest, ")")
	if !found {
		b.t.Fatalf("the client's message %q holds no session id", Field(m, 'M'))
	}
	var denied map[string]any
	Poll(b.t, "the audit record of session "+sid, func() bool {
		for _, r := range b.readRecords("session.denied") {
			if r["sid"] == sid {
				denied = r
			}
		}
		return denied != nil
	})
	return denied
}

// A105: a client cannot tell which of the three it was.
func TestA105RefusalsByPolicyAreOneText(t *testing.T) {
	w := Shared(t)
	b := underWatch(t, Options{})
	texts := map[string]bool{}
	for _, r := range refusals(w) {
		if r.stage != "policy" {
			continue
		}
		c := b.DialTLS(t, r.leaf)
		c.Send(Startup(3<<16, "user", r.user, "database", r.database))
		text, _, _ := strings.Cut(string(c.ReadError().Body), "(session ")
		texts[text] = true
	}
	if len(texts) != 1 {
		t.Errorf("the client can tell refusals apart: %v", texts)
	}
	b.undisturbed(t)
}

func TestA1PlaintextStartupIsRefusedInPlaintext(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people})
	c := b.Dial(t)
	c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
	m := c.ReadError()
	if Field(m, 'C') != "28000" || !strings.Contains(Field(m, 'H'), "sslmode") {
		t.Errorf("got %s, hint %q", ErrorText(m), Field(m, 'H'))
	}
	denied := b.Records("session.denied", 1)[0]
	if dig(denied, "denial.reason") != "no_tls" || denied["requested"] != nil {
		t.Errorf("audit: %v", denied)
	}
	_, errs, err := b.Psql("host=127.0.0.1 port="+b.Port()+" user=alice dbname=orders sslmode=disable", "select 1")
	if err == nil || !strings.Contains(errs, "FATAL:") || !strings.Contains(errs, "HINT:") {
		t.Errorf("psql shows %q", errs)
	}
}

func TestUpstreamDownIsSaidSo(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Host: freeAddress(t)})
	_, err := b.TryConnect(w.Client("alice"), "alice", "orders")
	if SQLState(err) != "08006" {
		t.Errorf("got %v, want SQLSTATE 08006", err)
	}
	denied := b.Records("session.denied", 1)[0]
	if dig(denied, "denial.reason") != "upstream_unreachable" || dig(denied, "denial.stage") != "pool" {
		t.Errorf("audit: %v", denied["denial"])
	}
	_, errs, err := b.Psql(b.DSN(w.Client("alice"), "alice", "orders"), "select 1")
	if err == nil || !strings.Contains(errs, "FATAL:") {
		t.Errorf("psql shows %q", errs)
	}
}

// Bad input ends its own connection within its deadline, and nothing else notices.
func TestA10A11A12BadInputEndsOnlyItself(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Listener: `handshake_timeout = "3s"`}) // of which a good client may need a part
	good := b.Connect(t, w.Client("alice"), "alice", "orders")
	pid := one[int](t, good, "select pg_backend_pid()")

	t.Run("at once", func(t *testing.T) {
		for name, bytes := range map[string]string{
			"bytes stuffed behind SSLRequest (A2)": "\x00\x00\x00\x08\x04\xd2\x16\x2f\x00\x00\x00\x10\x00\x03\x00\x00user\x00a\x00\x00",
			"bytes behind GSSENCRequest (A3)":      "\x00\x00\x00\x08\x04\xd2\x16\x30\x00\x00\x00\x10",
			"length 0":                             "\x00\x00\x00\x00\x00\x03\x00\x00",
			"length 3":                             "\x00\x00\x00\x03\x00\x03\x00\x00",
			"length 10005":                         "\x00\x00\x27\x15\x00\x03\x00\x00",
			"length 2^31-1":                        "\x7f\xff\xff\xff\x00\x03\x00\x00",
			"negative length":                      "\xff\xff\xff\xff\x00\x03\x00\x00",
			"HTTP":                                 "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
			"SSH":                                  "SSH-2.0-OpenSSH_9.2\r\n",
			"silence":                              "",
			"half a packet":                        "\x00\x00\x00\x20\x00\x03",
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c := b.Dial(t)
				c.Write([]byte(bytes))
				began := time.Now()
				rest, _ := io.ReadAll(c)
				if len(rest) > 1 || (len(rest) == 1 && rest[0] != 'S' && rest[0] != 'N') {
					t.Errorf("answered with %q", rest)
				}
				if took := time.Since(began); took > 50*time.Second {
					t.Errorf("ended after %v, want the 3 s deadline (tenfold at most, and more)", took)
				}
			})
		}
		t.Run("a byte at a time past the deadline", func(t *testing.T) {
			t.Parallel()
			c := b.Dial(t)
			began := time.Now()
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for _, one := range Startup(3<<16, "user", strings.Repeat("a", 1000)) {
				if _, err := c.Write([]byte{one}); err != nil {
					break
				}
				<-tick.C
				if time.Since(began) > 50*time.Second {
					t.Fatal("still open after ten times its deadline")
				}
			}
		})
	})
	t.Run("duplicate user", func(t *testing.T) {
		c := b.DialTLS(t, w.Client("alice"))
		c.Send(Startup(3<<16, "user", "alice", "user", "boss", "database", "orders"))
		if m := c.ReadError(); Field(m, 'C') != "08P01" {
			t.Errorf("got %s, want 08P01", ErrorText(m))
		}
	})
	t.Run("NUL in a value", func(t *testing.T) {
		c := b.DialTLS(t, w.Client("alice"))
		c.Send(Startup(3<<16, "user", "alice", "application_name", "x\x00role\x00boss", "database", "orders"))
		m := c.ReadError() // the NUL shifts the list: role=boss is a parameter of its own, and refused
		if code := Field(m, 'C'); code != "42501" && code != "08P01" {
			t.Errorf("got %s", ErrorText(m))
		}
	})
	t.Run("no terminator", func(t *testing.T) {
		c := b.DialTLS(t, w.Client("alice"))
		packet := Startup(3<<16, "user", "alice")
		packet[len(packet)-1] = 'x'
		c.Send(packet)
		if m := c.ReadError(); Field(m, 'C') != "08P01" {
			t.Errorf("got %s, want 08P01", ErrorText(m))
		}
	})
	t.Run("unknown message type after login", func(t *testing.T) {
		c := b.DialTLS(t, w.Client("alice"))
		c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
		c.ReadUntil('Z')
		c.Send(Msg('!', ""))
		if m := c.ReadError(); Field(m, 'C') != "08P01" {
			t.Errorf("got %s, want 08P01", ErrorText(m))
		}
	})
	if again := one[int](t, good, "select pg_backend_pid()"); again != pid {
		t.Errorf("the good session was disturbed: backend %d, then %d", pid, again)
	}
}

// The four-row matrix, for both hops: only a secured client at a secured server gets through.
// Unsecured to unsecured is refused by design: without identity there is no access.
func TestMatrixOfBothHops(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people})
	plainServer := w.plainPostgres(t)
	toPlain := w.Start(t, Options{Rules: people, Host: plainServer})
	alice := w.Client("alice")
	for _, tt := range []struct {
		hop, server, client string
		attempt             func(t *testing.T) (code, text string)
		code, text          string
	}{
		{"client to pgsignet", "secured", "secured", func(t *testing.T) (string, string) {
			return outcome(b.TryConnect(alice, "alice", "orders"))
		}, "", ""},
		{"client to pgsignet", "secured", "unsecured", func(t *testing.T) (string, string) {
			_, errs, _ := b.Psql("host=127.0.0.1 port="+b.Port()+" user=alice dbname=orders sslmode=disable", "select 1")
			return "28000", errs
		}, "28000", "FATAL"},
		// pgsignet has no unsecured listener: a client that demands TLS of something that speaks
		// none never sends its certificate.
		{"client to pgsignet", "unsecured", "secured", func(t *testing.T) (string, string) {
			host, port, _ := net.SplitHostPort(plainServer)
			_, errs, err := b.Psql("host="+host+" port="+port+" user=alice dbname=orders sslmode=verify-full sslrootcert="+b.RootCert(), "select 1")
			if err == nil {
				return "", ""
			}
			return "refused by the client", errs
		}, "refused by the client", "server does not support SSL"},
		{"client to pgsignet", "unsecured", "unsecured", func(t *testing.T) (string, string) {
			out, errs, err := runCheck(t, w, `listener "open" { address = "127.0.0.1:0" }`)
			if err == nil {
				return "", out
			}
			return "no such configuration", out + errs
		}, "no such configuration", "cert_file"},
		{"pgsignet to PostgreSQL", "secured", "secured", func(t *testing.T) (string, string) {
			return outcome(b.TryConnect(alice, "alice", "orders"))
		}, "", ""},
		{"pgsignet to PostgreSQL", "unsecured", "secured", func(t *testing.T) (string, string) {
			return outcome(toPlain.TryConnect(alice, "alice", "orders"))
		}, "08006", "TLS"},
		{"pgsignet to PostgreSQL", "secured", "unsecured", func(t *testing.T) (string, string) {
			_, errs, err := b.Psql("host=127.0.0.1 port="+port(w.PG.Addr())+" user=alice dbname=orders sslmode=disable", "select 1")
			if err == nil {
				return "", ""
			}
			return "28000", errs
		}, "28000", "rejects"},
		{"pgsignet to PostgreSQL", "unsecured", "unsecured", func(t *testing.T) (string, string) {
			out, errs, err := runCheck(t, w, `upstream "open" { hosts = ["127.0.0.1:5432"] }`)
			if err == nil {
				return "", out
			}
			return "no such configuration", out + errs
		}, "no such configuration", "credential"},
	} {
		t.Run(tt.hop+"/"+tt.server+" server/"+tt.client+" client", func(t *testing.T) {
			code, text := tt.attempt(t)
			if code != tt.code || !strings.Contains(text, tt.text) {
				t.Errorf("got %q %q, want %q … %q", code, text, tt.code, tt.text)
			}
		})
	}
}

func TestDirectTLSNeedsALPN(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people})
	for _, alpn := range [][]string{{"postgresql"}, nil} {
		cfg := b.TLSConfig(w.Client("alice"))
		cfg.NextProtos = alpn
		raw := b.Dial(t)
		conn := tls.Client(raw.Conn, cfg)
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		c := &Wire{Conn: conn, t: t}
		c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
		if alpn != nil {
			c.ReadUntil('Z')
			continue
		}
		if m := c.ReadError(); Field(m, 'C') != "08P01" || !strings.Contains(Field(m, 'M')+Field(m, 'H')+Field(m, 'D'), "ALPN") {
			t.Errorf("A8: got %s", ErrorText(m))
		}
	}
}
