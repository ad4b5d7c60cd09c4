package pgwire_test

import (
	"bytes"
	first "cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v2 "github.com/jackc/pgproto3/v2"
	v5 "github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/race"
)

// decoder is a message of either pgproto3 version.
type decoder interface{ Decode([]byte) error }

// body checks the header of one message and returns what follows it.
func body(t *testing.T, msg []byte) []byte {
	t.Helper()
	_, length := pgwire.Header(msg)
	if length != len(msg)-1 {
		t.Fatalf("length %d in %d bytes: %q", length, len(msg), msg)
	}
	return msg[pgwire.HeaderSize:]
}

// Each message as the two pgproto3 versions, written by others, read it.
func TestEncode(t *testing.T) {
	text := "x"
	for _, tt := range []struct {
		name string
		msg  []byte
		into decoder
		want decoder
	}{
		{"AuthenticationOk", pgwire.AppendAuthenticationOk(nil), &v5.AuthenticationOk{}, &v5.AuthenticationOk{}},
		{"ParameterStatus", pgwire.AppendParameterStatus(nil, "a", "b"),
			&v5.ParameterStatus{}, &v5.ParameterStatus{Name: "a", Value: "b"}},
		{"ParameterStatus keeps its encoding", pgwire.AppendParameterStatus(nil, "search_path", "é\n"),
			&v5.ParameterStatus{}, &v5.ParameterStatus{Name: "search_path", Value: "é\n"}},
		{"ParameterStatus with NUL", pgwire.AppendParameterStatus(nil, "a\x00", "b\x00c"),
			&v5.ParameterStatus{}, &v5.ParameterStatus{Name: "a?", Value: "b?c"}},
		{"BackendKeyData 3.0, v2", pgwire.AppendBackendKeyData(nil, pgwire.CancelKey{PID: 7, Secret: []byte{0, 0, 1, 2}}),
			&v2.BackendKeyData{}, &v2.BackendKeyData{ProcessID: 7, SecretKey: 258}},
		{"BackendKeyData 3.0, v5", pgwire.AppendBackendKeyData(nil, pgwire.CancelKey{PID: 7, Secret: []byte("abcd")}),
			&v5.BackendKeyData{}, &v5.BackendKeyData{ProcessID: 7, SecretKey: []byte("abcd")}},
		{"BackendKeyData 3.2", pgwire.AppendBackendKeyData(nil, pgwire.CancelKey{PID: 7, Secret: make([]byte, 32)}), // W8
			&v5.BackendKeyData{}, &v5.BackendKeyData{ProcessID: 7, SecretKey: make([]byte, 32)}},
		{"ReadyForQuery", pgwire.AppendReadyForQuery(nil, pgwire.TxFailed),
			&v2.ReadyForQuery{}, &v2.ReadyForQuery{TxStatus: 'E'}},
		{"NegotiateProtocolVersion", // W6
			pgwire.AppendNegotiateProtocolVersion(nil, pgwire.V32, []string{"_pq_.a", "_pq_.b"}),
			&v5.NegotiateProtocolVersion{}, &v5.NegotiateProtocolVersion{
				NewestMinorProtocol: 196610, UnrecognizedOptions: []string{"_pq_.a", "_pq_.b"}}},
		{"CommandComplete", pgwire.AppendCommandComplete(nil, "SELECT 1"),
			&v5.CommandComplete{}, &v5.CommandComplete{CommandTag: []byte("SELECT 1")}},
		{"Query", pgwire.AppendQuery(nil, "select 1"), &v5.Query{}, &v5.Query{String: "select 1"}},
		{"Query with NUL", pgwire.AppendQuery(nil, "a\x00b"), &v5.Query{}, &v5.Query{String: "a?b"}}, // W11
		{"Parse", pgwire.AppendParse(nil, "s", "select $1", []uint32{25}),
			&v5.Parse{}, &v5.Parse{Name: "s", Query: "select $1", ParameterOIDs: []uint32{25}}},
		{"Close", pgwire.AppendClose(nil, 'S', "s"), &v5.Close{}, &v5.Close{ObjectType: 'S', Name: "s"}},
		{"Describe", pgwire.AppendDescribe(nil, 'P', "p"), &v5.Describe{}, &v5.Describe{ObjectType: 'P', Name: "p"}},
		{"Sync", pgwire.AppendEmpty(nil, pgwire.MsgSync), &v5.Sync{}, &v5.Sync{}},
		{"RowDescription", pgwire.AppendRowDescription(nil, []pgwire.Column{{"a", 25, -1, 0}, {"b", 20, 8, 1}}),
			&v5.RowDescription{}, &v5.RowDescription{Fields: []v5.FieldDescription{
				{Name: []byte("a"), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1},
				{Name: []byte("b"), DataTypeOID: 20, DataTypeSize: 8, TypeModifier: -1, Format: 1}}}},
		{"DataRow", pgwire.AppendDataRow(nil, []*string{&text, nil}),
			&v5.DataRow{}, &v5.DataRow{Values: [][]byte{[]byte("x"), nil}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.into.Decode(body(t, tt.msg)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, tt.into); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// W9: clients take a key of no bytes for a broken message.
func TestEncodeNoKey(t *testing.T) {
	if got := pgwire.AppendBackendKeyData([]byte("x"), pgwire.CancelKey{PID: 7}); string(got) != "x" {
		t.Errorf("got %q", got)
	}
}

// Appending leaves what is there alone, and messages follow each other.
func TestEncodeAppends(t *testing.T) {
	b := pgwire.AppendAuthenticationOk([]byte("before"))
	b = pgwire.AppendNegotiateProtocolVersion(b, pgwire.V30, nil)
	b = pgwire.AppendReadyForQuery(b, 'I')
	want := "before" + "R\x00\x00\x00\x08\x00\x00\x00\x00" + "v\x00\x00\x00\x0c\x00\x03\x00\x00\x00\x00\x00\x00" + "Z\x00\x00\x00\x05I"
	if string(b) != want {
		t.Errorf("got %q, want %q", b, want)
	}
}

func TestAppendError(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   pgwire.Error
		want string
	}{
		{"all fields", pgwire.Error{Severity: pgwire.Fatal, Code: "28000", Message: "no", DetailText: "d", HintText: "h", Slug: "no_map"},
			"SFATAL\x00VFATAL\x00C28000\x00Mno\x00Dd\x00Hh\x00\x00"},
		{"without D and H", pgwire.Error{Severity: pgwire.Err, Code: "25006", Message: "no"},
			"SERROR\x00VERROR\x00C25006\x00Mno\x00\x00"},
		{"NUL starts no field", pgwire.Error{Severity: pgwire.Err, Code: "25006", Message: "a\x00Hb"}, // W11
			"SERROR\x00VERROR\x00C25006\x00Ma?Hb\x00\x00"},
		{"ASCII without controls", pgwire.Error{Severity: pgwire.Err, Code: "25006", Message: "é\n\x1b\x7f~"}, // W16
			"SERROR\x00VERROR\x00C25006\x00M?????~\x00\x00"},
		{"defaults", pgwire.Error{Message: "m"}, "SERROR\x00VERROR\x00CXX000\x00Mm\x00\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := pgwire.AppendError(nil, &tt.in)
			if got[0] != 'E' || string(body(t, got)) != tt.want {
				t.Errorf("got %q, want E %q", got, tt.want)
			}
			notice := pgwire.AppendNotice(nil, &tt.in)
			want := strings.ReplaceAll(tt.want, "ERROR", string(first.Or(tt.in.Severity, pgwire.Notice)))
			if notice[0] != 'N' || string(body(t, notice)) != want {
				t.Errorf("got %q, want N %q", notice, want)
			}
		})
	}
}

// libpq before 14 takes an ErrorResponse above 30,000 bytes for a lost connection.
func TestAppendErrorIsBounded(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	got := pgwire.AppendError(nil, &pgwire.Error{Severity: pgwire.Severity(long), Code: long, Message: long, DetailText: long, HintText: long})
	if len(got) > 30_000 {
		t.Errorf("%d bytes", len(got))
	}
}

func TestParseError(t *testing.T) {
	in := "SFATAL\x00VPANIC\x00C57P01\x00Mgone\x00Dd\x00Hh\x00Fpostgres.c\x00L12\x00\x00"
	got, err := pgwire.ParseError([]byte(in))
	want := pgwire.Error{Severity: pgwire.Panic, Code: "57P01", Message: "gone", DetailText: "d", HintText: "h"}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	got, err = pgwire.ParseError([]byte("SFEHLER\x00C42601\x00M\x00\x00"))
	if err != nil || got.Severity != "FEHLER" || got.Code != "42601" {
		t.Errorf("without V: got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "S", "SFATAL", "SFATAL\x00"} {
		if got, err := pgwire.ParseError([]byte(bad)); !errors.Is(err, pgwire.ErrMalformed) {
			t.Errorf("%q: got %+v, %v", bad, got, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	e := &pgwire.Error{Severity: pgwire.Fatal, Code: "28000", Message: "no", DetailText: "because", HintText: "h", Slug: "no_map"}
	if got, want := e.Error(), "FATAL 28000: no (because)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if e.SQLState() != "28000" || e.Reason() != "no_map" || e.Public() != "no" || e.Detail() != "because" || e.Hint() != "h" {
		t.Errorf("accessors of %+v", e)
	}
}

func TestCancelKeyHidesItsSecret(t *testing.T) {
	key := pgwire.CancelKey{PID: 7, Secret: []byte("hush")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{key, &key, struct{ K pgwire.CancelKey }{key}} {
			got := fmt.Sprintf(verb, v)
			if strings.Contains(got, "hush") || strings.Contains(got, hex.EncodeToString(key.Secret)) ||
				strings.Contains(got, "104 117 115 104") || strings.Contains(got, "0x68, 0x75") {
				t.Errorf("%s shows %s", verb, got)
			}
		}
	}
}

func TestClientHeader(t *testing.T) {
	header := func(typ byte, length uint32) []byte {
		return []byte{typ, byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)}
	}
	const large, small = 1_073_741_822, 10_000 // W31
	for typ, max := range map[byte]uint32{
		'Q': large, 'P': large, 'B': large, 'F': large, 'd': large,
		'C': small, 'D': small, 'E': small, 'H': small, 'S': small, 'X': small, 'c': small, 'f': small,
	} {
		for length, ok := range map[uint32]bool{0: false, 3: false, 4: true, max: true, max + 1: false, 1<<31 - 1: false, 1 << 31: false, 1<<32 - 1: false} {
			gotType, gotLength, err := pgwire.ClientHeader(header(typ, length))
			if gotType != typ || gotLength != int(int32(length)) || (err == nil) != ok {
				t.Errorf("%c %d: got %c %d %v", typ, length, gotType, gotLength, err)
			}
			if err != nil && !errors.Is(err, pgwire.ErrMalformed) {
				t.Errorf("%c %d: %v", typ, length, err)
			}
		}
	}
	known := "QPBFdCDEHSXcf"
	for typ := range 256 {
		if strings.IndexByte(known, byte(typ)) >= 0 {
			continue
		}
		_, _, err := pgwire.ClientHeader(header(byte(typ), 4))
		if e, ok := errors.AsType[*pgwire.Error](err); !ok || e.Code != "08P01" || e.Severity != pgwire.Fatal {
			t.Errorf("type %d: %v", typ, err)
		}
	}
	if typ, length := pgwire.Header(header('D', 1<<31-1)); typ != 'D' || length != 1<<31-1 {
		t.Errorf("longest server message: %c %d", typ, length)
	}
}

// The relay looks at every header: it must not allocate.
func TestHeaderAllocates(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	header := []byte{'Q', 0, 0, 0, 4}
	buf := bytes.Clone(header)
	if n := testing.AllocsPerRun(100, func() {
		copy(buf, header)
		if _, _, err := pgwire.ClientHeader(buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkHeader is the look at one message's header that the relay takes.
func BenchmarkHeader(b *testing.B) {
	header := []byte{'Q', 0, 0, 0, 4}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := pgwire.ClientHeader(header); err != nil {
			b.Fatal(err)
		}
	}
}
