package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// from makes a client connect from an address of its own: all of 127.0.0.0/8 is this machine.
func from(addr string) func(*pgx.ConnConfig) {
	return func(cfg *pgx.ConnConfig) {
		cfg.DialFunc = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}).DialContext
	}
}

// impatient gives up a login that has no answer after two seconds.
func impatient(cfg *pgx.ConnConfig) { cfg.ConnectTimeout = 2 * time.Second }

// Refusals are held back by certificate, from wherever it comes, and by address, whatever the
// certificate; a login that is granted waits for neither, and a shutdown not for what is held back.
func TestLoginBackoffFollowsTheCertificate(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Admin: httpOn, Listener: `login_backoff = "1h"`})
	alice, bob := w.Client("alice"), w.Client("bob")
	const times = 14 // the next would be told after 6.8 minutes
	var held sync.WaitGroup
	for i := range times {
		held.Go(func() { b.TryConnect(alice, "bob", "orders", from(fmt.Sprintf("127.1.0.%d", i+1))) })
		Poll(t, "a refusal", func() bool {
			return b.metrics(t)[`pgsignet_logins_denied_total{reason="user_not_granted"}`] == fmt.Sprint(i+1)
		})
	}
	if _, err := b.TryConnect(bob, "alice", "orders", from("127.2.0.1")); SQLState(err) != "28000" {
		t.Errorf("another certificate from another address: %v, want 28000 at once", err)
	}
	if _, err := b.TryConnect(alice, "bob", "orders", from("127.3.0.1"), impatient); err == nil || SQLState(err) != "" {
		t.Errorf("the certificate from a new address: %v, want no answer yet", err)
	}
	b.Connect(t, bob, "bob", "orders").Close(t.Context())
	granted, err := b.TryConnect(alice, "alice", "orders", from("127.1.0.1"))
	if err != nil {
		t.Fatalf("a login that is granted: %v", err)
	}
	granted.Close(t.Context())

	b.Signal(syscall.SIGTERM)
	if code := b.Wait(StopLimit); code != 0 {
		t.Errorf("stopped with %d beside refusals that are held back\n%s", code, b.Output())
	}
	held.Wait()
}

// A shutdown does not wait for connections that have not logged in: handshake_timeout is theirs.
func TestW90ShutdownClosesHalfOpenConnections(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Admin: httpOn, Listener: `handshake_timeout = "1h"`})
	for _, said := range [][]byte{nil, sslRequest, {0x16, 3, 1}} {
		if _, err := b.Dial(t).Write(said); err != nil {
			t.Fatal(err)
		}
	}
	Poll(t, "the connections to be counted", func() bool {
		return b.metrics(t)[`pgsignet_connections{listener="main",state="half_open"}`] == "3"
	})
	b.Signal(syscall.SIGTERM)
	if code := b.Wait(StopLimit); code != 0 {
		t.Errorf("stopped with %d\n%s", code, b.Output())
	}
}

// The HTTP endpoint has 32 connections at once: one more is served, and the one that has been silent for
// longest is closed. Whoever holds many open keeps nobody out, and sessions notice nothing.
func TestAdminEndpointHasFewConnections(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Admin: httpOn})
	alice := b.Connect(t, w.Client("alice"), "alice", "orders")
	address := strings.TrimPrefix(b.AdminURL(), "http://")
	healthy := func(c net.Conn) bool {
		c.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var open []net.Conn
	for i := range 32 {
		open = append(open, dial())
		if !healthy(open[i]) {
			t.Fatalf("connection %d is not served", i+1)
		}
	}
	if !healthy(open[0]) { // it is the second that has been silent for longest
		t.Error("a connection is closed before there are too many")
	}
	if !healthy(dial()) {
		t.Error("a 33rd connection is not served")
	}
	for i, c := range open {
		if served := healthy(c); served != (i != 1) {
			t.Errorf("connection %d is served: %v", i+1, served)
		}
	}
	for range 100 { // as somebody does who wants it for himself
		dial()
	}
	r, err := http.Get(b.AdminURL() + "/healthz")
	if err != nil {
		t.Fatalf("while another holds all connections: %v", err)
	}
	r.Body.Close()
	if n := one[int](t, alice, "select 5"); n != 5 {
		t.Error("the session was hurt")
	}
}
