package workload

import (
	"context"
	"crypto/x509"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/fakespiffe"
	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/poll"
)

// svid is an answer with one SVID of ca's domain and the bundles of more.
func svid(t *testing.T, ca *pki.CA, federated map[string]*pki.CA) (*fakespiffe.Answer, *pki.Leaf) {
	t.Helper()
	leaf, err := ca.Issue(pki.Shape{SPIFFE: "spiffe://a.example/ns/db/sa/broker",
		EKU: []pki.OID{pki.EKUServerAuth, pki.EKUClientAuth}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	a := &fakespiffe.Answer{SVID: leaf.DER, Key: key, Bundle: ca.DER, Federated: map[string][]byte{}}
	for domain, other := range federated {
		a.Federated["spiffe://"+domain] = other.DER
	}
	return a, leaf
}

// running is a Source that runs, with its callbacks as channels.
type running struct {
	*Source
	changes chan struct{}
	errors  chan error
}

func run(t *testing.T, address string) *running {
	t.Helper()
	r := &running{changes: make(chan struct{}, 100), errors: make(chan error, 1000)}
	var err error
	r.Source, err = New(Config{Address: address,
		OnChange: func() { r.changes <- struct{}{} }, OnError: func(err error) { r.errors <- err }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("no %s after 30 s", what)
		panic("unreachable")
	}
}

func newCA(t *testing.T, cn string) *pki.CA {
	t.Helper()
	ca, err := pki.NewRoot(pki.Shape{CN: cn, SAN: []pki.GeneralName{pki.URIName("spiffe://a.example")}})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// TestSource: first state, rotation, federation, loss of the API and its return.
func TestSource(t *testing.T) {
	t.Cleanup(func() {
		if err := poll.Gone(); err != nil {
			t.Error(err)
		}
	})
	socket := filepath.Join(t.TempDir(), "agent.sock")
	a, b := newCA(t, "A"), newCA(t, "B")
	first, leaf := svid(t, a, nil)

	// The API is not there yet: nothing to serve, and Ready says why.
	r := run(t, "unix://"+socket)
	if err := wait(t, r.errors, "error"); !strings.Contains(err.Error(), socket) {
		t.Errorf("error %v does not name the socket", err)
	}
	if st := r.Current(); st.Certificate != nil || st.Bundles != nil {
		t.Errorf("state %+v before the first update", st)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Ready(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Ready: %v", err)
	}

	fake := fakespiffe.Start(t, socket, first)
	if err := r.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait(t, r.changes, "change")
	st := r.Current()
	if !st.Certificate.Leaf.Equal(leaf.X509) || len(st.Bundles) != 1 || !st.Bundles["a.example"][0].Equal(a.X509) {
		t.Errorf("state %+v", st)
	}

	rotated, leaf := svid(t, a, map[string]*pki.CA{"b.example": b})
	fake.Push(rotated, fakespiffe.OK)
	wait(t, r.changes, "change")
	st = r.Current()
	if !st.Certificate.Leaf.Equal(leaf.X509) || len(st.Bundles) != 2 || !st.Bundles["b.example"][0].Equal(b.X509) {
		t.Errorf("state after rotation %+v", st)
	}

	// A response that does not parse, a refusal, and even "invalid argument": the last good state stays.
	for _, bad := range []func(){
		func() { fake.Push(&fakespiffe.Answer{}, fakespiffe.OK) },
		func() { fake.Push(nil, fakespiffe.PermissionDenied) },
		func() { fake.Push(nil, fakespiffe.InvalidArgument) },
	} {
		bad()
		wait(t, r.errors, "error")
		if r.Current().Certificate != st.Certificate {
			t.Error("the state changed")
		}
	}
	last, leaf := svid(t, a, nil)
	fake.Push(last, fakespiffe.OK)
	for !r.Current().Certificate.Leaf.Equal(leaf.X509) {
		wait(t, r.changes, "change")
	}
	if len(r.Current().Bundles) != 1 {
		t.Errorf("a domain that is federated no more stayed: %v", r.Current().Bundles)
	}
}

// TestAddress: a bad one is an error before anything starts.
func TestAddress(t *testing.T) {
	for _, address := range []string{"", "/run/agent.sock", "http://x", "unix:relative", "tcp://host:1"} {
		if _, err := New(Config{Address: address}); err == nil {
			t.Errorf("%q accepted", address)
		}
	}
}
