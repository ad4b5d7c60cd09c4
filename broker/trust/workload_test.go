package trust

import (
	"crypto/tls"
	"crypto/x509"
	"sync"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// workloadAPI stands in for package workload, which has tests of its own.
type workloadAPI struct {
	mu    sync.Mutex
	state Workload
}

func (w *workloadAPI) set(server *pki.Leaf, bundles map[string]*pki.CA) {
	w.mu.Lock()
	defer w.mu.Unlock()
	cert := server.TLS()
	w.state = Workload{Certificate: &cert, Bundles: map[string][]*x509.Certificate{}}
	for domain, ca := range bundles {
		w.state.Bundles[domain] = []*x509.Certificate{ca.X509}
	}
}

func (w *workloadAPI) get() Workload {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// TestWorkloadAPI: server certificate and bundles come from the API, follow it at once, and a
// bundle that goes takes its sessions with it (T27).
func TestWorkloadAPI(t *testing.T) {
	f := newFixture(t)
	a, b := f.Root(pki.Shape{CN: "Domain A"}), f.Root(pki.Shape{CN: "Domain B"})
	var api workloadAPI
	f.cfg.ClientCA, f.cfg.CertFile, f.cfg.KeyFile = nil, "", ""
	f.cfg.WorkloadAPI, f.cfg.Workload = "unix:///run/agent.sock", api.get
	if _, err := Load(f.cfg, time.Now(), nil); err == nil {
		t.Fatal("loaded without a certificate")
	}
	first := f.Server()
	api.set(first, map[string]*pki.CA{"a.example": a})
	w := f.watch(byEvent)
	client := peer(t, f.Issue(a, pki.Shape{SPIFFE: "spiffe://a.example/x"}))
	other := peer(t, f.Issue(b, pki.Shape{SPIFFE: "spiffe://b.example/x"}))
	live := yes.check(t, w.Current(), client, time.Now())
	no(UnknownCA).check(t, w.Current(), other, time.Now())
	no(UnknownCA).check(t, w.Current(), peer(t, f.Client("alice")), time.Now())

	second := f.Server()
	api.set(second, map[string]*pki.CA{"a.example": a, "b.example": b})
	w.Poke()
	w.until(t, loaded)
	cert, err := w.Current().ServerTLS().GetCertificate(&tls.ClientHelloInfo{})
	if err != nil || !cert.Leaf.Equal(second.X509) {
		t.Errorf("serving the old certificate: %v", err)
	}
	yes.check(t, w.Current(), other, time.Now())
	if _, err := w.Current().Recheck(live, time.Now()); err != nil {
		t.Errorf("Recheck: %v", err)
	}

	api.set(second, map[string]*pki.CA{"b.example": b})
	w.Poke()
	w.until(t, loaded)
	no(UnknownCA).check(t, w.Current(), client, time.Now())
	_, err = w.Current().Recheck(live, time.Now())
	no(UnknownCA).compare(t, nil, err)

	// A leaf in a bundle: the last good snapshot stays.
	api.mu.Lock()
	api.state.Bundles = map[string][]*x509.Certificate{"b.example": {second.X509}}
	api.mu.Unlock()
	w.Poke()
	if c := w.next(t); c.Err == nil {
		t.Errorf("change %+v, want an error", c)
	}
	yes.check(t, w.Current(), other, time.Now())
}

// TestWorkloadFilesWin: a trust domain with a bundle file is not the API's (configuration.md).
func TestWorkloadFilesWin(t *testing.T) {
	f, a, b := spiffeFixture(t)
	var api workloadAPI
	api.set(f.Server(), map[string]*pki.CA{"a.example": b, "c.example": b})
	f.cfg.WorkloadAPI, f.cfg.Workload = "unix:///run/agent.sock", api.get
	s := f.load(nil)
	yes.check(t, s, peer(t, f.Issue(a, pki.Shape{SPIFFE: "spiffe://a.example/x"})), time.Now())
	no(UnknownCA).check(t, s, peer(t, f.Issue(b, pki.Shape{SPIFFE: "spiffe://a.example/x"})), time.Now())
	yes.check(t, s, peer(t, f.Issue(b, pki.Shape{SPIFFE: "spiffe://c.example/x"})), time.Now())
}
