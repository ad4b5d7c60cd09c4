package pgwire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Request codes of PostgreSQL's libpq/pqcomm.h.
const (
	cancelCode = 80877102
	sslCode    = 80877103
	gssCode    = 80877104
)

// packet frames a code and a body as an opening packet.
func packet(code uint32, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	b = binary.BigEndian.AppendUint32(b, code)
	return append(b, body...)
}

// params joins names and values as a start-up packet's body, with its terminator.
func params(namesAndValues ...string) string {
	if len(namesAndValues) == 0 {
		return "\x00"
	}
	return strings.Join(namesAndValues, "\x00") + "\x00\x00"
}

func TestReadPacketStartup(t *testing.T) {
	for _, tt := range []struct {
		name      string
		code      uint32
		body      string
		want      pgwire.Startup
		negotiate bool
	}{
		{name: "3.0", code: 0x30000, body: params("user", "al", "database", "db"),
			want: pgwire.Startup{Requested: pgwire.V30, Version: pgwire.V30,
				Params: []pgwire.Param{{"user", "al"}, {"database", "db"}}}},
		{name: "3.1 is lowered", code: 0x30001, body: params("user", "al"), negotiate: true, // W6
			want: pgwire.Startup{Requested: 0x30001, Version: pgwire.V30, Params: []pgwire.Param{{"user", "al"}}}},
		{name: "3.2", code: 0x30002, body: params("user", "al"),
			want: pgwire.Startup{Requested: pgwire.V32, Version: pgwire.V32, Params: []pgwire.Param{{"user", "al"}}}},
		{name: "3.9999 with an extension", code: 0x30000 | 9999, negotiate: true, // A110
			body: params("_pq_.test_protocol_negotiation", "", "user", "al"),
			want: pgwire.Startup{Requested: 0x3270f, Version: pgwire.V32,
				Params:  []pgwire.Param{{"user", "al"}},
				Unknown: []string{"_pq_.test_protocol_negotiation"}}},
		{name: "order and duplicates are kept", code: 0x30000, // W7
			body: params("application_name", "a", "user", "al", "application_name", "b"),
			want: pgwire.Startup{Requested: pgwire.V30, Version: pgwire.V30,
				Params: []pgwire.Param{{"application_name", "a"}, {"user", "al"}, {"application_name", "b"}}}},
		{name: "empty value", code: 0x30000, body: params("options", "", "user", "al"),
			want: pgwire.Startup{Requested: pgwire.V30, Version: pgwire.V30,
				Params: []pgwire.Param{{"options", ""}, {"user", "al"}}}},
		{name: "63 bytes of user", code: 0x30000, body: params("user", strings.Repeat("u", 63)),
			want: pgwire.Startup{Requested: pgwire.V30, Version: pgwire.V30,
				Params: []pgwire.Param{{"user", strings.Repeat("u", 63)}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pgwire.ReadPacket(bytes.NewReader(packet(tt.code, tt.body)))
			if err != nil {
				t.Fatal(err)
			}
			if got.Kind != pgwire.StartupPacket {
				t.Fatalf("kind %d", got.Kind)
			}
			if diff := cmp.Diff(&tt.want, got.Startup); diff != "" {
				t.Error(diff)
			}
			if got.Startup.NeedsNegotiation() != tt.negotiate {
				t.Errorf("NeedsNegotiation %v", !tt.negotiate)
			}
		})
	}
}

func TestReadPacketRefuses(t *testing.T) {
	long := strings.Repeat("n", 64)
	for _, tt := range []struct {
		name, code, reason string
		version            uint32
		body               string
	}{
		{"version 2.0", "0A000", "protocol", 0x20000, params("user", "al")}, // W6, A110
		{"version 4.0", "0A000", "protocol", 0x40000, params("user", "al")},
		{"no terminator", "08P01", "protocol", 0x30000, "user\x00al\x00"}, // W4
		{"no value", "08P01", "protocol", 0x30000, "user\x00"},
		{"unterminated", "08P01", "protocol", 0x30000, "user\x00al"},
		{"empty body", "08P01", "protocol", 0x30000, ""},
		{"terminator too early", "08P01", "protocol", 0x30000, "user\x00al\x00\x00\x00"},
		{"bytes behind the terminator", "08P01", "protocol", 0x30000, "user\x00al\x00\x00user\x00bo\x00\x00"},
		{"no user", "28000", "protocol", 0x30000, params("database", "db")}, // W10
		{"nothing", "28000", "protocol", 0x30000, params()},
		{"empty user", "28000", "protocol", 0x30000, params("user", "")},                                       // A104
		{"user twice", "08P01", "protocol", 0x30000, params("user", "al", "user", "al")},                       // T94
		{"database twice", "08P01", "protocol", 0x30000, params("user", "a", "database", "", "database", "x")}, // T94
		{"64 bytes of user", "28000", "role_name", 0x30000, params("user", long)},                              // T12
		{"64 bytes of database", "28000", "protocol", 0x30000, params("user", "al", "database", long)},
		{"replication", "22023", "protocol", 0x30000, params("user", "al", "replication", "maybe")},
		{"empty replication", "22023", "protocol", 0x30000, params("user", "al", "replication", "")},
		{"first of two replications", "22023", "protocol", 0x30000,
			params("replication", "o", "user", "al", "replication", "on")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pgwire.ReadPacket(bytes.NewReader(packet(tt.version, tt.body)))
			e, ok := errors.AsType[*pgwire.Error](err)
			if !ok {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.SQLState() != tt.code || e.Reason() != tt.reason || e.Severity != pgwire.Fatal {
				t.Errorf("got %s %s %s, want FATAL %s %s", e.Severity, e.SQLState(), e.Reason(), tt.code, tt.reason)
			}
		})
	}
}

func TestStartupAccessors(t *testing.T) {
	for _, tt := range []struct {
		name, user, database, replication string
		params                            []string
	}{
		{"database defaults to the user", "al", "al", "", []string{"user", "al"}},
		{"empty database too", "al", "al", "", []string{"user", "al", "database", ""}},
		{"last replication wins", "al", "db", "database",
			[]string{"replication", "true", "user", "al", "database", "db", "replication", "database"}},
		{"replication on", "al", "al", "true", []string{"user", "al", "replication", "on"}}, // A109
		{"replication 1", "al", "al", "true", []string{"user", "al", "replication", "1"}},
		{"replication Y", "al", "al", "true", []string{"user", "al", "replication", "Y"}},
		{"replication tRu", "al", "al", "true", []string{"user", "al", "replication", "tRu"}},
		{"replication off", "al", "al", "", []string{"user", "al", "replication", "off"}},
		{"names have case", "al", "al", "", []string{"user", "al", "DATABASE", "db"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := pgwire.ReadPacket(bytes.NewReader(packet(0x30000, params(tt.params...))))
			if err != nil {
				t.Fatal(err)
			}
			s := p.Startup
			if s.User() != tt.user || s.Database() != tt.database || s.Replication() != tt.replication {
				t.Errorf("got %q %q %q, want %q %q %q",
					s.User(), s.Database(), s.Replication(), tt.user, tt.database, tt.replication)
			}
		})
	}
	if v, ok := (&pgwire.Startup{}).Get("user"); ok || v != "" {
		t.Errorf("Get of nothing: %q, %v", v, ok)
	}
}

func TestReadPacketRequests(t *testing.T) {
	key := "\x00\x00\x04\xd2"
	for _, tt := range []struct {
		name string
		in   []byte
		want pgwire.Packet
	}{
		{"SSLRequest", packet(sslCode, ""), pgwire.Packet{Kind: pgwire.SSLRequest}},
		{"GSSENCRequest", packet(gssCode, ""), pgwire.Packet{Kind: pgwire.GSSENCRequest}},
		{"cancel of 3.0", packet(cancelCode, key+"abcd"),
			pgwire.Packet{Kind: pgwire.CancelRequest, Cancel: pgwire.CancelKey{PID: 1234, Secret: []byte("abcd")}}},
		{"cancel of 3.2", packet(cancelCode, key+strings.Repeat("x", 32)),
			pgwire.Packet{Kind: pgwire.CancelRequest, Cancel: pgwire.CancelKey{PID: 1234, Secret: bytes.Repeat([]byte("x"), 32)}}},
		{"longest cancel", packet(cancelCode, key+strings.Repeat("x", 256)),
			pgwire.Packet{Kind: pgwire.CancelRequest, Cancel: pgwire.CancelKey{PID: 1234, Secret: bytes.Repeat([]byte("x"), 256)}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pgwire.ReadPacket(bytes.NewReader(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if got.Kind == pgwire.CancelRequest {
				if again := pgwire.AppendCancelRequest(nil, got.Cancel); !bytes.Equal(again, tt.in) {
					t.Errorf("encoded again: %q, want %q", again, tt.in)
				}
			}
		})
	}
}

// Lengths that are none are refused after four bytes, and before anything is allocated (W4, A11).
func TestReadPacketMalformed(t *testing.T) {
	length := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	for _, tt := range []struct {
		name string
		in   []byte
	}{
		{"length 0", length(0)},
		{"length 3", length(3)},
		{"length 7", length(7)},
		{"length 10005", length(10_005)},
		{"length 2^31-1", length(1<<31 - 1)},
		{"length -1", length(1<<32 - 1)},
		{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n")}, // A10
		{"SSH", []byte("SSH-2.0-OpenSSH_9.2\r\n")},
		{"SSLv2", []byte{0x80, 0x2e, 1, 0, 2}},
		{"RDP", []byte{3, 0, 0, 19, 14}},
		{"PROXY v1", []byte("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n")}, // A25
		{"PROXY v2", []byte("\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c")},
		{"SSLRequest with a body", packet(sslCode, "x")},
		{"GSSENCRequest with a body", packet(gssCode, "x")},
		{"cancel of 8 bytes", packet(cancelCode, "")}, // A11
		{"cancel without key", packet(cancelCode, "\x00\x00\x00\x01")},
		{"cancel with 3 bytes of key", packet(cancelCode, "\x00\x00\x00\x01abc")},
		{"cancel with 257 bytes of key", packet(cancelCode, "\x00\x00\x00\x01"+strings.Repeat("x", 257))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := bytes.NewReader(tt.in)
			_, err := pgwire.ReadPacket(r)
			if !errors.Is(err, pgwire.ErrMalformed) {
				t.Errorf("got %v, want ErrMalformed", err)
			}
			if _, answered := errors.AsType[*pgwire.Error](err); answered {
				t.Errorf("PostgreSQL does not answer this: %v", err)
			}
			if used := len(tt.in) - r.Len(); !bytes.HasPrefix(tt.in, packet(0, "")[:1]) && used > 4 {
				t.Errorf("read %d bytes", used)
			}
		})
	}
}

// No byte behind the packet is read: it may belong to TLS (W1).
func TestReadPacketExact(t *testing.T) {
	for _, head := range [][]byte{
		packet(sslCode, ""), packet(gssCode, ""), packet(0x30000, params("user", "al")),
		packet(cancelCode, "12345678"),
	} {
		r := bytes.NewReader(append(head, "behind"...))
		if _, err := pgwire.ReadPacket(iotest.OneByteReader(r)); err != nil {
			t.Fatal(err)
		}
		if rest, _ := io.ReadAll(r); string(rest) != "behind" {
			t.Errorf("left %q behind %q", rest, head)
		}
	}
}

func TestReadPacketEnds(t *testing.T) {
	whole := packet(0x30000, params("user", "al"))
	for n := range whole {
		_, err := pgwire.ReadPacket(bytes.NewReader(whole[:n]))
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF // a probe (W5)
		}
		if !errors.Is(err, want) {
			t.Errorf("after %d bytes: %v, want %v", n, err, want)
		}
	}
}

func TestParseBool(t *testing.T) {
	for in, want := range map[string]string{
		"t": "true", "TRUE": "true", "tr": "true", "y": "true", "yes": "true", "on": "true", "ON": "true", "1": "true",
		"f": "false", "False": "false", "n": "false", "no": "false", "of": "false", "off": "false", "0": "false",
		"": "none", "o": "none", "truee": "none", "2": "none", "10": "none", " true": "none", "offf": "none", "onn": "none",
	} {
		value, ok := pgwire.ParseBool(in)
		got := "none"
		if ok {
			got = map[bool]string{true: "true", false: "false"}[value]
		}
		if got != want {
			t.Errorf("ParseBool(%q) is %s, want %s", in, got, want)
		}
	}
}
