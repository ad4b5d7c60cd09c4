package pgwire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }

// realServer is PostgreSQL with loopback trusted: what is compared is the start-up packet.
func realServer(t *testing.T) *pgserver.Server {
	return pgserver.Shared(t, "pgwire", func() pgserver.Options {
		return pgserver.Options{HBA: []string{"host all all 127.0.0.1/32 trust"}}
	})
}

// login sends one opening packet and reads to ReadyForQuery (a nil error), an ErrorResponse, or
// the end (io.EOF).
func login(t *testing.T, s *pgserver.Server, opening []byte) (net.Conn, *pgwire.Error, error) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write(opening); err != nil {
		t.Fatal(err)
	}
	for {
		typ, body, err := readMessage(conn)
		switch {
		case err != nil:
			return conn, nil, io.EOF // reset or closed: PostgreSQL says nothing
		case typ == pgwire.MsgErrorResponse:
			e, err := pgwire.ParseError(body)
			if err != nil {
				t.Fatal(err)
			}
			return conn, &e, nil
		case typ == pgwire.MsgReadyForQuery:
			return conn, nil, nil
		}
	}
}

func readMessage(r io.Reader) (byte, []byte, error) {
	head := make([]byte, pgwire.HeaderSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	typ, length := pgwire.Header(head)
	if length < 4 {
		return 0, nil, pgwire.ErrMalformed
	}
	body := make([]byte, length-4)
	_, err := io.ReadFull(r, body)
	return typ, body, err
}

// Whatever PostgreSQL answers to a bad start-up packet, or does not, so do we. Left out are the
// places where we differ on purpose: names too long (T12) and twice (T94); and version 2, which
// PostgreSQL answers in that version's own format.
func TestStartupAsPostgreSQL(t *testing.T) {
	s := realServer(t)
	for _, in := range [][]byte{
		packet(0x40000, params("user", "postgres")),
		packet(0x30000, "user\x00postgres\x00"),
		packet(0x30000, "user\x00"),
		packet(0x30000, "user\x00postgres"),
		packet(0x30000, ""),
		packet(0x30000, "user\x00postgres\x00\x00\x00"),
		packet(0x30000, "user\x00postgres\x00\x00user\x00x\x00\x00"),
		packet(0x30000, params()),
		packet(0x30000, params("database", "postgres")),
		packet(0x30000, params("user", "")),
		packet(0x30000, params("user", "postgres", "replication", "maybe")),
		packet(0x30000, params("user", "postgres", "replication", "")),
		packet(0x30000, params("user", "postgres", "replication", "o", "replication", "off")),
		packet(0x30000, params("user", "postgres", "replication", "oF")),
		packet(0x30000, params("user", "postgres", "database", "")),
		packet(0x30000, params("user", "postgres", "application_name", "a", "application_name", "b")),
		packet(0x30000, params("user", "postgres", "", "x")),
		packet(0x30000, params("user", "postgres", "_pq_.x", "y")),
		packet(0x30009, params("user", "postgres")),
		packet(cancelCode, "short"),
		{0, 0, 0, 7, 0, 3, 0},
		{0, 0, 0x27, 0x15, 0, 3, 0, 0},
		{0xff, 0xff, 0xff, 0xff},
		[]byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		_, want, ended := login(t, s, in)
		_, err := pgwire.ReadPacket(bytes.NewReader(in))
		got, answered := errors.AsType[*pgwire.Error](err)
		switch {
		case want != nil && (!answered || got.Code != want.Code || got.Severity != want.Severity):
			t.Errorf("%q: got %v, PostgreSQL says %v", in, err, want)
		case ended != nil && !errors.Is(err, pgwire.ErrMalformed):
			t.Errorf("%q: got %v, PostgreSQL closes", in, err)
		case want == nil && ended == nil && err != nil:
			t.Errorf("%q: got %v, PostgreSQL accepts it", in, err)
		}
	}
}

// An `options` string has the same effect as the parameters we read from it, given one by one
// with -c: the same settings, or the same error. What we cannot read PostgreSQL refuses too; it may
// have met another error first, and of a cluster of letters it names the argument before.
func TestOptionsAsPostgreSQL(t *testing.T) {
	s := realServer(t)
	for _, in := range optionStrings() {
		parsed, err := pgwire.ParseOptions(in)
		wantSettings, want := settingsWith(t, s, in)
		if err != nil {
			if want == nil {
				t.Errorf("%q: got %v, PostgreSQL accepts it", in, err)
			}
			continue
		}
		gotSettings, got := settingsWith(t, s, asSwitches(parsed))
		if diff := cmp.Diff(wantSettings, gotSettings); diff != "" {
			t.Errorf("%q: settings differ from those of %q: %s", in, parsed, diff)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}

// optionStrings are odd ones by hand, then random ones of the same pieces.
func optionStrings() []string {
	list := []string{
		"-c work_mem=64kB", "-cwork_mem=64kB", "--work_mem=64kB", "--work-mem=64kB", "-c work-mem=64kB",
		`-c search_path=a\ b`, `-c search_path=a\\b`, `-c search_path=a\`, `-c\ geqo=off`, `\-c geqo=off`,
		"-e", "-ec geqo=off", "-F", "-O", "-P", "-s", "-S 128", "-S128", "-W0", "-i", "-l", "-B 10", "-N 5", "-p 1", "-h x", "-k x",
		"-b", "-E", "-j", "-n", "-T", "-C x", "-D /x", "-r x", "-v 3",
		"-fs", "-fi", "-fo", "-fb", "-ft", "-fn", "-fm", "-fh", "-fx", "-f", "-fseq",
		"-tpa", "-tpl", "-te", "-tx", "-tp", "-t", "-d0", "-d1", "-d2", "-d 5", "-d5x", "-d-1", "-dx", "-d 6",
		"-c", "--", "-", "x", "-z", "-c geqo", "--geqo", "-c -- geqo=off", "--geqo=off --", "--geqo=off -- x", `\ `, "-c geqo=off x",
		"-c GEQO=off", "-c nonsense=1", "-c my.own=1", "-c my-own.x-y=a-b", "-c =x", "-c geqo=", "-c geqo==off",
		"-c role=pg_monitor", "-c ROLE=pg_monitor", "-c session-authorization=pg_monitor", "--Role=pg_monitor", `-c r\ole=pg_monitor`,
		"-c DateStyle=German\t-c\nTimeZone=CET\v--geqo=off\f-s\r",
	}
	pieces := []string{
		"-c", "-c ", " ", "--", "geqo=off", "work_mem=64kB", "search-path=", `\`, `\ `, "a", "-", "-e", "-s", "-fs", "-te", "-S 99", "=", "\t", "-d2",
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var b strings.Builder
		for range 1 + r.IntN(6) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		list = append(list, b.String())
	}
	return list
}

func asSwitches(list []pgwire.Param) string {
	quote := strings.NewReplacer(`\`, `\\`, " ", `\ `, "\t", "\\\t", "\n", "\\\n", "\v", "\\\v", "\f", "\\\f", "\r", "\\\r")
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, " -c %s", quote.Replace(p.Name+"="+p.Value))
	}
	return b.String()
}

// settingsWith logs in with an options string and returns the settings that it brought, one a line.
func settingsWith(t *testing.T, s *pgserver.Server, options string) (string, *pgwire.Error) {
	t.Helper()
	conn, refused, err := login(t, s, packet(0x30000, params("user", "postgres", "options", options)))
	if err != nil {
		t.Fatalf("options %q: %v", options, err)
	}
	defer conn.Close()
	if refused != nil {
		refused.DetailText = ""
		return "", refused
	}
	query := "SELECT coalesce(string_agg(name || '=' || setting, E'\\n' ORDER BY name), '') || ' ' || current_user" +
		" FROM pg_settings WHERE source = 'client'"
	if _, err := conn.Write(pgwire.AppendQuery(nil, query)); err != nil {
		t.Fatal(err)
	}
	for {
		typ, body, err := readMessage(conn)
		if err != nil {
			t.Fatal(err)
		}
		if typ == pgwire.MsgDataRow {
			return string(body[6:][:binary.BigEndian.Uint32(body[2:])]), nil
		}
	}
}
