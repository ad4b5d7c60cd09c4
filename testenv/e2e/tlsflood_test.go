package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// useless is how many records in a row that say nothing crypto/tls takes.
const useless = 16

// endsBy sends forged records on a connection after its handshake and returns the alert that ends it.
func (f *forger) endsBy(records []byte) (alert string) {
	f.t.Helper()
	f.Conn.Write(records) // the broker may be gone before the last byte
	_, err := f.tls.Read(make([]byte, 1))
	f.Close()
	return alertOf(err)
}

// flood is n records of one kind.
func flood(s *sealer, n int, typ byte, content string) []byte {
	var out []byte
	for range n {
		out = append(out, s.record(typ, content)...)
	}
	return out
}

// updates is n KeyUpdates, each under the key of the one before.
func updates(t testing.TB, s *sealer, n int) []byte {
	var out []byte
	for range n {
		out = append(out, s.record(handshakeRecord, keyUpdateMessage)...)
		s = s.updated(t)
	}
	return out
}

// cpu is the processor time that the broker has used so far.
func (b *Broker) cpu(t *testing.T) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.PID()))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))
	user, _ := strconv.Atoi(fields[11]) // in ticks of 10 ms, as on every Linux
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// TestA16Renegotiation: each attempt ends its connection with alert 10, and costs the broker no more
// than the handshake before it.
func TestA16Renegotiation(t *testing.T) {
	b := underWatch(t, Options{})
	alice := b.World.Client("alice")
	hello := string(clientHello(t, b.TLSConfig(alice))[5:])
	const attempts = 100
	run := func(attack bool) time.Duration {
		began := b.cpu(t)
		for i := range attempts {
			f := b.forge(t, b.TLSConfig(alice), tls.VersionTLS12)
			f.handshake()
			if !attack {
				f.Close()
				continue
			}
			if alert := f.endsBy(f.ahead().record(handshakeRecord, hello)); alert != "10" {
				t.Fatalf("attempt %d ended by alert %q, want 10", i, alert)
			}
		}
		return b.cpu(t) - began
	}
	b.floods(t, []tlsFlood{{"another ClientHello", tls.VersionTLS12, func(s *sealer) []byte { return s.record(handshakeRecord, hello) }}})
	plain := run(false)
	Poll(t, "the plain handshakes to be gone", func() bool { return b.footprint(t).halfOpen == 0 })
	denied := b.denials("tls")
	attacked := run(true)
	t.Logf("CPU of %d handshakes: %v; with an attempt to renegotiate each: %v", attempts, plain, attacked)
	if attacked > 10*max(plain, 100*time.Millisecond) {
		t.Errorf("%d attempts cost %v, as many plain handshakes %v", attempts, attacked, plain)
	}
	Poll(t, "an audit event for each", func() bool { return b.denials("tls") == denied+attempts })
	b.undisturbed(t)
}

// TestA17KeyUpdateFlood: sixteen in a row are taken, one more is alert 10; so is one before Finished,
// to which a client must not come.
func TestA17KeyUpdateFlood(t *testing.T) {
	b := underWatch(t, Options{})
	alice := b.World.Client("alice")
	b.floods(t, []tlsFlood{
		{"seventeen KeyUpdates", tls.VersionTLS13, func(s *sealer) []byte { return updates(t, s, useless+1) }},
		{"a thousand KeyUpdates", tls.VersionTLS13, func(s *sealer) []byte { return updates(t, s, 1000) }},
	})
	t.Run("sixteen are taken", func(t *testing.T) {
		f := b.forge(t, b.TLSConfig(alice), tls.VersionTLS13)
		f.handshake()
		s := f.ahead()
		out := updates(t, s, useless)
		for range useless {
			s = s.updated(t)
		}
		f.Conn.Write(append(out, s.record(dataRecord, string(Startup(3<<16, "user", "alice", "database", "orders")))...))
		wire := &Wire{Conn: f.tls, t: t}
		wire.ReadUntil('Z')
		f.Conn.Write(s.record(dataRecord, string(Msg('X', ""))))
	})
	for _, n := range []int{1, useless + 1} {
		t.Run(fmt.Sprintf("%d before Finished", n), func(t *testing.T) {
			denied := b.denials("tls")
			f := b.forge(t, b.TLSConfig(alice), tls.VersionTLS13)
			f.second = func() []byte {
				return flood(sealing(t, f.secrets["CLIENT_HANDSHAKE_TRAFFIC_SECRET"]), n, handshakeRecord, keyUpdateMessage)
			}
			f.handshake()
			if _, err := f.tls.Read(make([]byte, 1)); alertOf(err) != "10" {
				t.Errorf("ended by %v, want alert 10", err)
			}
			Poll(t, "an audit event", func() bool { return b.denials("tls") == denied+1 })
		})
	}
	b.undisturbed(t)
}

// tlsFlood is what a client sends after its handshake that alert 10 must end.
type tlsFlood struct {
	name    string
	version uint16
	records func(s *sealer) []byte
}

// floods runs floods before the start-up packet and in an open session.
func (w *watch) floods(t *testing.T, floods []tlsFlood) {
	t.Helper()
	alice := w.World.Client("alice")
	for _, tt := range floods {
		t.Run(tt.name+"/before start-up", func(t *testing.T) {
			denied := w.denials("tls")
			f := w.forge(t, w.TLSConfig(alice), tt.version)
			f.handshake()
			if alert := f.endsBy(tt.records(f.ahead())); alert != "10" {
				t.Errorf("ended by alert %q, want 10", alert)
			}
			Poll(t, "an audit event", func() bool { return w.denials("tls") == denied+1 })
		})
		t.Run(tt.name+"/in a session", func(t *testing.T) {
			n := len(w.readRecords("session.close"))
			f := w.forge(t, w.TLSConfig(alice), tt.version)
			f.handshake()
			s := f.ahead()
			f.Conn.Write(s.record(dataRecord, string(Startup(3<<16, "user", "alice", "database", "orders"))))
			(&Wire{Conn: f.tls, t: t}).ReadUntil('Z')
			if alert := f.endsBy(tt.records(s)); alert != "10" {
				t.Errorf("ended by alert %q, want 10", alert)
			}
			if closed := w.Records("session.close", n+1)[n]; dig(closed, "end.reason") != "protocol_error" {
				t.Errorf("audit: %v", closed["end"])
			}
		})
	}
}

// TestA18UselessRecords: records that say nothing are alert 10 after sixteen; records of one byte get
// as far as the deadline.
func TestA18UselessRecords(t *testing.T) {
	b := underWatch(t, Options{Listener: `handshake_timeout = "3s"`})
	b.floods(t, []tlsFlood{
		{"empty records, TLS 1.2", tls.VersionTLS12, func(s *sealer) []byte { return flood(s, useless+1, dataRecord, "") }},
		{"empty records, TLS 1.3", tls.VersionTLS13, func(s *sealer) []byte { return flood(s, useless+1, dataRecord, "") }},
		{"warnings, TLS 1.2", tls.VersionTLS12, func(s *sealer) []byte { return flood(s, useless+1, alertRecord, userCanceled) }},
		{"warnings, TLS 1.3", tls.VersionTLS13, func(s *sealer) []byte { return flood(s, useless+1, alertRecord, userCanceled) }},
	})
	b.attempts(t, []knock{{
		name: "records of one byte", want: "", reason: "startup_timeout",
		speak: trickled(func(c *Wire) *Wire {
			return c.answered(sslRequest, 'S').encrypted(b.TLSConfig(b.World.Client("alice")))
		}, Startup(3<<16, "user", "alice", "database", "orders")),
	}})
}

// TestA22EarlyData: a ClientHello that announces early data is alert 110; the data are nobody's.
func TestA22EarlyData(t *testing.T) {
	b := underWatch(t, Options{})
	cfg := b.TLSConfig(b.World.Client("alice"))
	early := append(withExtension(clientHello(t, cfg), 42, ""), "\x17\x03\x03\x00\x05Q\x00\x00\x00\x04"...)
	const alert110 = `\x15\x03\x03\x00\x02\x02\x6e`
	b.attempts(t, []knock{
		{name: "direct", speak: says(early), want: alert110, reason: "tls", stage: "tls"},
		{name: "after SSLRequest", speak: func(c *Wire) *Wire { return says(early)(c.answered(sslRequest, 'S')) }, want: alert110, reason: "tls", stage: "tls"},
	})
}

// withExtension adds an extension to a ClientHello in one record.
func withExtension(record []byte, id uint16, content string) []byte {
	out := bytes.Clone(record)
	at := 5 + 4 + 2 + 32
	at += 1 + int(out[at])                           // session id
	at += 2 + int(binary.BigEndian.Uint16(out[at:])) // suites
	at += 1 + int(out[at])                           // compression methods
	more := 4 + len(content)
	grow := func(at int) { binary.BigEndian.PutUint16(out[at:], binary.BigEndian.Uint16(out[at:])+uint16(more)) }
	grow(3)  // of the record
	grow(7)  // of the message
	grow(at) // of the extensions
	out = binary.BigEndian.AppendUint16(out, id)
	out = binary.BigEndian.AppendUint16(out, uint16(len(content)))
	return append(out, content...)
}
