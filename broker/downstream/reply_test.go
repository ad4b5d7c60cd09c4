package downstream_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsignet/pgsignet/broker/downstream"
	"github.com/pgsignet/pgsignet/pgwire"
)

// W15: the order of the first messages, and what each version gets.
func TestWelcome(t *testing.T) {
	const ok = "R\x00\x00\x00\x08\x00\x00\x00\x00"
	const setting = "S\x00\x00\x00\x08a\x00b\x00"
	const ready = "Z\x00\x00\x00\x05I"
	notice := &pgwire.Error{Severity: pgwire.Notice, Code: "00000", Message: "soon"}
	for _, tt := range []struct {
		name    string
		startup []byte
		key     *pgwire.CancelKey
		notices []*pgwire.Error
		want    string
	}{
		{"3.0", login, &pgwire.CancelKey{PID: 7, Secret: []byte("abcd")}, nil,
			ok + setting + "K\x00\x00\x00\x0c\x00\x00\x00\x07abcd" + ready},
		{"without key", login, nil, nil, ok + setting + ready},
		{"notice", login, nil, []*pgwire.Error{notice},
			ok + setting + "N\x00\x00\x00\x22SNOTICE\x00VNOTICE\x00C00000\x00Msoon\x00\x00" + ready},
		{"3.2", packet(3<<16|2, "user\x00al\x00\x00"), &pgwire.CancelKey{PID: 7, Secret: []byte("abcdefgh")}, nil,
			ok + setting + "K\x00\x00\x00\x10\x00\x00\x00\x07abcdefgh" + ready},
		{"3.9 and an extension", packet(3<<16|9, "user\x00al\x00_pq_.x\x00y\x00\x00"), nil, nil, // W6, A110
			"v\x00\x00\x00\x13\x00\x03\x00\x02\x00\x00\x00\x01_pq_.x\x00" + ok + setting + ready},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t, nil, nil)
			p := d.secure().send(tt.startup)
			c := d.admitted()
			if err := downstream.Welcome(c, []pgwire.Param{{Name: "a", Value: "b"}}, tt.key, tt.notices); err != nil {
				t.Fatal(err)
			}
			p.expect(tt.want)
		})
	}
}

// pgx logs in through both ways of starting TLS, with both minor versions.
func TestWelcomePgx(t *testing.T) {
	d := open(t, nil, nil)
	for _, tt := range []struct {
		name, dsn string
		key       []byte
	}{
		{"SSLRequest", "sslnegotiation=postgres", []byte("abcd")},
		{"direct", "sslnegotiation=direct", []byte("abcd")},
		{"3.2", "sslnegotiation=direct max_protocol_version=3.2", make([]byte, 32)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config, err := pgconn.ParseConfig("host=localhost user=al database=db sslmode=require " + tt.dsn)
			if err != nil {
				t.Fatal(err)
			}
			config.TLSConfig = d.clientTLS()
			config.Fallbacks = nil
			config.DialFunc = func(context.Context, string, string) (net.Conn, error) { return net.Dial("tcp", d.addr) }
			config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
			done := make(chan error, 1)
			go func() {
				o := <-d.outcomes
				if o.err != nil {
					done <- o.err
					return
				}
				done <- downstream.Welcome(o.client, []pgwire.Param{{Name: "server_version", Value: "16"}},
					&pgwire.CancelKey{PID: 7, Secret: tt.key}, nil)
				_, _ = io.Copy(io.Discard, o.client.Conn)
				_ = o.client.Conn.Close()
			}()
			conn, err := pgconn.ConnectConfig(t.Context(), config)
			if err != nil {
				t.Fatal(err, <-done)
			}
			if conn.PID() != 7 || conn.ParameterStatus("server_version") != "16" || len(conn.SecretKey()) != len(tt.key) {
				t.Errorf("pid %d, key %x, version %q", conn.PID(), conn.SecretKey(), conn.ParameterStatus("server_version"))
			}
			if err := conn.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// W87: a client that is still sending gets the error and a FIN. A close with its bytes unread
// would be a reset, which can overtake the error.
func TestRefuseArrives(t *testing.T) {
	d := open(t, nil, nil)
	told := &pgwire.Error{Severity: pgwire.Fatal, Code: "28000", Message: "certificate not admitted"}
	for range 20 {
		p := d.secure().send(login, []byte(strings.Repeat("x", 100_000)))
		c := d.admitted()
		done := make(chan error, 1)
		go func() { done <- downstream.Refuse(c.Conn, told, patience) }()
		if e := p.expectError("28000"); e.Message != told.Message {
			t.Errorf("got %v", &e)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A client that neither reads nor closes holds Refuse no longer than its timeout.
func TestRefuseIsBounded(t *testing.T) {
	d := open(t, nil, nil)
	d.secure().send(login)
	c := d.admitted()
	done := make(chan error, 1)
	go func() { done <- downstream.Refuse(c.Conn, &pgwire.Error{Message: "no"}, 50*time.Millisecond) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("still refusing")
	}
	if _, err := c.Conn.Write([]byte("x")); err == nil {
		t.Error("the connection is open")
	}
}

// Refuse also takes a socket that Admit never saw.
func TestRefuseRaw(t *testing.T) {
	ours, theirs := pair(t)
	done := make(chan error, 1)
	go func() {
		done <- downstream.Refuse(ours, &pgwire.Error{Severity: pgwire.Fatal, Code: "53300"}, patience)
	}()
	(&peer{t, theirs}).expectError("53300")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// W82: close_notify reads as the end; what is written afterwards still arrives.
func TestHalfClose(t *testing.T) {
	d := open(t, nil, nil)
	p := d.secure().send(login)
	c := d.admitted()
	if err := p.Conn.(*tls.Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("got %d, %v", n, err)
	}
	if _, err := c.Conn.Write([]byte("last words")); err != nil {
		t.Error(err)
	}
	done := make(chan error)
	go func() { done <- c.Conn.Finish(patience) }()
	p.expect("last words").expectClosed()
	_ = p.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
