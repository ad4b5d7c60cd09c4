package pgwire_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	v2 "github.com/jackc/pgproto3/v2"
	v5 "github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgsignet/pgsignet/pgwire"
)

// seeds are opening packets as clients send them and as attackers do; crashers lie in testdata.
var seeds = [][]byte{
	packet(0x30000, params("user", "al", "database", "db", "application_name", "psql")),
	packet(0x30002, params("user", "al", "_pq_.x", "1")),
	packet(0x3270f, params("user", "al", "options", `-c a=b\ c`)),
	packet(0x20000, params("user", "al")),
	packet(0x30000, "user\x00al\x00"),
	packet(0x30000, "\x00"),
	packet(sslCode, ""), packet(gssCode, ""),
	packet(cancelCode, "12345678"), packet(cancelCode, strings.Repeat("k", 36)),
	{0, 0, 0, 7}, {0x7f, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff},
	[]byte("GET / HTTP/1.1\r\n"), {0x16, 3, 1, 2, 0, 1},
}

// startupBytes encodes a start-up packet; extensions go last.
func startupBytes(s *pgwire.Startup) []byte {
	var list []string
	for _, p := range s.Params {
		list = append(list, p.Name, p.Value)
	}
	for _, name := range s.Unknown {
		list = append(list, name, "")
	}
	return packet(uint32(s.Requested), params(list...))
}

// FuzzReadPacket: no panic, never a byte too many, the same byte by byte, decode-encode-decode agrees,
// and where both pgproto3 versions can read a packet they read what we read.
func FuzzReadPacket(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		p, err := pgwire.ReadPacket(r)
		if used := len(in) - r.Len(); used > 4+pgwire.MaxStartup {
			t.Fatalf("read %d bytes", used)
		}
		slow, slowErr := pgwire.ReadPacket(iotest.OneByteReader(bytes.NewReader(in)))
		if diff := cmp.Diff(p, slow); diff != "" || fmt.Sprint(err) != fmt.Sprint(slowErr) {
			t.Fatalf("byte by byte it is another packet: %s; %v, was %v", diff, slowErr, err)
		}
		if err != nil {
			if e, ok := errors.AsType[*pgwire.Error](err); ok && e.Severity != pgwire.Fatal {
				t.Fatalf("%+v is not FATAL", e)
			}
			return
		}
		switch p.Kind {
		case pgwire.StartupPacket:
			checkStartup(t, p.Startup, in[4:len(in)-r.Len()])
		case pgwire.CancelRequest:
			if again := pgwire.AppendCancelRequest(nil, p.Cancel); !bytes.Equal(again, in[:len(in)-r.Len()]) {
				t.Fatalf("encoded again: %q", again)
			}
		}
	})
}

func checkStartup(t *testing.T, s *pgwire.Startup, body []byte) {
	again, err := pgwire.ReadPacket(bytes.NewReader(startupBytes(s)))
	if err != nil {
		t.Fatalf("encoded again: %v", err)
	}
	if diff := cmp.Diff(s, again.Startup); diff != "" {
		t.Fatal(diff)
	}
	if n := len(s.User()); n < 1 || n > pgwire.MaxName || len(s.Database()) > pgwire.MaxName {
		t.Fatalf("names %q %q", s.User(), s.Database())
	}
	want := map[string]string{}
	for _, p := range s.Params {
		if strings.IndexByte(p.Name+p.Value, 0) >= 0 {
			t.Fatalf("NUL in %+v", p)
		}
		want[p.Name] = p.Value
	}
	var old v2.StartupMessage
	if old.Decode(body) == nil {
		sameParams(t, "v2", old.Parameters, want)
	} else if s.Requested == pgwire.V30 {
		t.Fatal("v2 does not read this")
	}
	var current v5.StartupMessage
	if current.Decode(body) == nil {
		sameParams(t, "v5", current.Parameters, want)
	} else if s.Requested == pgwire.V30 || s.Requested == pgwire.V32 {
		t.Fatal("v5 does not read this")
	}
}

func sameParams(t *testing.T, who string, got, want map[string]string) {
	maps.DeleteFunc(got, func(name, _ string) bool { return strings.HasPrefix(name, "_pq_.") })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s: %s", who, diff)
	}
}

// FuzzParseOptions: no panic, names without dashes, and quoting brings every setting back.
func FuzzParseOptions(f *testing.F) {
	for _, s := range []string{
		"-c a=b", "--a-b=c", `-ca=b\ c\\d`, "-ec a=1", "-d5 -fs -tpl", "-c", "--", "- x", "-S 1 -c role=x", "\\", "-c\x00=\xff",
	} {
		f.Add(s)
	}
	quote := strings.NewReplacer(`\`, `\\`, " ", `\ `, "\t", "\\\t", "\n", "\\\n", "\v", "\\\v", "\f", "\\\f", "\r", "\\\r")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := pgwire.ParseOptions(in)
		if err != nil {
			if e, ok := errors.AsType[*pgwire.Error](err); !ok || e.Code != pgwire.SyntaxError {
				t.Fatalf("%v", err)
			}
			return
		}
		var again strings.Builder
		for _, p := range got {
			if strings.Contains(p.Name, "-") {
				t.Fatalf("name %q", p.Name)
			}
			again.WriteString(" -c " + quote.Replace(p.Name+"="+p.Value))
		}
		back, err := pgwire.ParseOptions(again.String())
		if err != nil {
			t.Fatalf("%q: %v", again.String(), err)
		}
		if diff := cmp.Diff(got, back); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzParseError: no panic; ours is what both pgproto3 versions read; what we encode of it has no
// field but our own, in printable ASCII.
func FuzzParseError(f *testing.F) {
	f.Add([]byte("SFATAL\x00VFATAL\x00C28000\x00Mno\x00Dd\x00Hh\x00\x00"))
	f.Add([]byte("Mx\x00Cevil\x1b\x00L99999999999\x00Zunknown\x00\x00"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := pgwire.ParseError(in)
		var old v2.ErrorResponse
		var current v5.ErrorResponse
		oldErr, currentErr := old.Decode(in), current.Decode(in)
		if (err == nil) != (oldErr == nil) || (err == nil) != (currentErr == nil) {
			t.Fatalf("ours %v, v2 %v, v5 %v", err, oldErr, currentErr)
		}
		if err != nil {
			return
		}
		if got.Message != old.Message || got.Message != current.Message || got.Code != old.Code || got.Code != current.Code {
			t.Fatalf("ours %+v, v2 %+v, v5 %+v", got, old, current)
		}
		msg := pgwire.AppendError(nil, &got)
		for _, c := range msg[pgwire.HeaderSize:] {
			if c != 0 && (c < ' ' || c > '~') {
				t.Fatalf("sends %q", msg)
			}
		}
		back, err := pgwire.ParseError(msg[pgwire.HeaderSize:])
		if err != nil {
			t.Fatal(err)
		}
		if again := pgwire.AppendError(nil, &back); !bytes.Equal(again, msg) {
			t.Fatalf("encoded again %q, first %q", again, msg)
		}
		if n := bytes.Count(msg[pgwire.HeaderSize:], []byte{0}); n > 7 {
			t.Fatalf("%d terminators in %q", n, msg)
		}
	})
}
