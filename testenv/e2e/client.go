package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// DSN connects to the broker as user with a certificate; nil presents none.
func (b *Broker) DSN(leaf *pki.Leaf, user, database string) string {
	dsn := fmt.Sprintf("host=localhost hostaddr=127.0.0.1 port=%s user=%s dbname=%s sslmode=verify-full sslrootcert=%s connect_timeout=10",
		b.Port(), quoted(user), quoted(database), b.RootCert())
	if leaf != nil {
		cert, key := b.WriteCert(leaf)
		dsn += fmt.Sprintf(" sslcert=%s sslkey=%s", cert, key)
	}
	return dsn
}

// quoted is a value as a connection string holds it.
func quoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}

// RootCert is the file with the CA of the broker's own certificate.
func (b *Broker) RootCert() string { return filepath.Join(b.Dir, "servers-ca.crt") }

// WriteCert stores a certificate and its key in a new folder and returns their paths.
func (b *Broker) WriteCert(leaf *pki.Leaf) (cert, key string) {
	b.t.Helper()
	cert, key, err := leaf.Write(b.t.(interface{ TempDir() string }).TempDir(), "client")
	if err != nil {
		b.t.Fatal(err)
	}
	return cert, key
}

// Connect logs in with pgx. The connection is closed with the test.
func (b *Broker) Connect(t testing.TB, leaf *pki.Leaf, user, database string) *pgx.Conn {
	t.Helper()
	conn, err := b.TryConnect(leaf, user, database)
	if err != nil {
		t.Fatalf("connect as %s to %s: %v", user, database, err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// TryConnect logs in with pgx; options change its configuration first.
func (b *Broker) TryConnect(leaf *pki.Leaf, user, database string, options ...func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	// pgx dials host; hostaddr is libpq's.
	dsn := strings.Replace(b.DSN(leaf, user, database), "hostaddr=127.0.0.1 ", "", 1)
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{b.Host()}, nil }
	for _, change := range options {
		change(cfg)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return pgx.ConnectConfig(ctx, cfg)
}

// SQLState is the code of a PostgreSQL error anywhere in err's chain, or "".
func SQLState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// Psql runs psql with SQL on its standard input.
func (b *Broker) Psql(dsn, sql string, args ...string) (stdout, stderr string, err error) {
	cmd := exec.Command("psql", append([]string{"-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", dsn}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PGCONNECT_TIMEOUT=10")
	cmd.Stdin = strings.NewReader(sql)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// Wire is a client of our own that speaks raw protocol bytes.
type Wire struct {
	net.Conn
	t testing.TB
}

// Message is one server message.
type Message struct {
	Type byte
	Body []byte
}

// Dial opens a TCP connection to the broker that is closed with the test. Reads and writes fail after a minute.
func (b *Broker) Dial(t testing.TB) *Wire {
	t.Helper()
	conn, err := net.Dial("tcp", b.Addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { conn.Close() })
	return &Wire{Conn: conn, t: t}
}

// TLSConfig is a client's: it trusts the CA of the broker's certificate.
func (b *Broker) TLSConfig(leaf *pki.Leaf) *tls.Config {
	cfg := &tls.Config{RootCAs: b.World.Servers.Pool(), ServerName: "localhost", NextProtos: []string{"postgresql"}}
	if leaf != nil {
		// Sent even when the server's list of CAs does not name its issuer.
		cert := leaf.TLS()
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	return cfg
}

// DialTLS opens a connection, asks for TLS and completes the handshake.
func (b *Broker) DialTLS(t testing.TB, leaf *pki.Leaf) *Wire {
	t.Helper()
	w := b.Dial(t)
	w.Send([]byte{0, 0, 0, 8, 4, 210, 22, 47})
	var answer [1]byte
	if _, err := io.ReadFull(w, answer[:]); err != nil || answer[0] != 'S' {
		t.Fatalf("SSLRequest: %q, %v", answer, err)
	}
	conn := tls.Client(w.Conn, b.TLSConfig(leaf))
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return &Wire{Conn: conn, t: t}
}

// Send writes raw bytes.
func (w *Wire) Send(b []byte) {
	w.t.Helper()
	if _, err := w.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

// Startup is a start-up packet of a protocol version with parameters in pairs.
func Startup(version uint32, params ...string) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 4), version)
	for _, p := range params {
		b = append(append(b, p...), 0)
	}
	b = append(b, 0)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// Msg is a message with a body.
func Msg(typ byte, body string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{typ}, uint32(4+len(body)))
	return append(b, body...)
}

// Query is a simple Query message.
func Query(sql string) []byte { return Msg('Q', sql+"\x00") }

// Read1 returns the next message; io.EOF when the server has closed.
func (w *Wire) Read1() (Message, error) { return readMessage(w) }

func readMessage(r io.Reader) (Message, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Message{}, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	_, err := io.ReadFull(r, body)
	return Message{Type: head[0], Body: body}, err
}

// ReadUntil returns messages up to and including the first of that type.
func (w *Wire) ReadUntil(typ byte) []Message {
	w.t.Helper()
	var all []Message
	for {
		m, err := w.Read1()
		if err != nil {
			w.t.Fatalf("waiting for %c after %s: %v", typ, Types(all), err)
		}
		all = append(all, m)
		if m.Type == typ {
			return all
		}
		if m.Type == 'E' && Field(m, 'S') == "FATAL" {
			w.t.Fatalf("waiting for %c: %s", typ, ErrorText(m))
		}
	}
}

// ReadError reads one message that must be an error, and then the end of the connection.
func (w *Wire) ReadError() Message {
	w.t.Helper()
	m, err := w.Read1()
	if err != nil {
		w.t.Fatalf("waiting for an error: %v", err)
	}
	if m.Type != 'E' {
		w.t.Fatalf("got message %c, want an error", m.Type)
	}
	if _, err := w.Read1(); err == nil {
		w.t.Fatal("the connection goes on after a FATAL error")
	}
	return m
}

// Field is one field of an error or notice.
func Field(m Message, code byte) string {
	for _, f := range bytes.Split(m.Body, []byte{0}) {
		if len(f) > 0 && f[0] == code {
			return string(f[1:])
		}
	}
	return ""
}

// ErrorText is an error in one line: severity, code, message.
func ErrorText(m Message) string {
	return Field(m, 'S') + " " + Field(m, 'C') + " " + Field(m, 'M')
}

// Types lists the types of messages, with ReadyForQuery's state: "1 2 D C ZI".
func Types(messages []Message) string {
	var words []string
	for _, m := range messages {
		word := string(m.Type)
		if m.Type == 'Z' {
			word += string(m.Body)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
