// Package workload keeps the X.509 material that a SPIFFE Workload API hands out: our own SVID and
// the bundles of trust domains.
//
// It does not verify clients, and does not decide what serves a listener: broker/trust does, from
// what Current returns.
package workload

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// Config says where the API is and whom to tell.
type Config struct {
	Address string // unix:///path or tcp://ip:port

	// OnChange is called after every update, and OnError after every failure of the stream or of an
	// update, one call at a time. The last good state stays after an error. Both must return soon.
	OnChange func()
	OnError  func(error)
}

// State is what the API said last. It is immutable.
type State struct {
	Certificate *tls.Certificate               // the default SVID with its key; Leaf is set
	Bundles     map[string][]*x509.Certificate // by trust domain: our own and federated ones
	UpdatedAt   time.Time
}

// Source follows one Workload API. Its methods are safe for concurrent use.
type Source struct {
	cfg   Config
	ready chan struct{} // closed by the first update

	mu    sync.Mutex // guards state and last
	state State
	last  error // of the stream; nil while it flows
}

// New checks the address and starts nothing: call Run.
func New(cfg Config) (*Source, error) {
	if err := workloadapi.ValidateAddress(cfg.Address); err != nil {
		return nil, fmt.Errorf("workload_api %q: %w", cfg.Address, err)
	}
	if cfg.OnChange == nil {
		cfg.OnChange = func() {}
	}
	if cfg.OnError == nil {
		cfg.OnError = func(error) {}
	}
	return &Source{cfg: cfg, ready: make(chan struct{})}, nil
}

// Current is the newest state; the zero State before the first update.
func (s *Source) Current() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Ready waits for the first update while Run works. Its error says why there is none: the last one
// of the stream, if any, with ctx's cause.
func (s *Source) Ready(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		return errors.Join(fmt.Errorf("workload_api %s: %w", s.cfg.Address, context.Cause(ctx)), s.last)
	}
}

// Run follows the API until ctx ends, and returns nil then. A stream that breaks is opened again
// within two seconds; SPIRE's SVIDs live an hour, so a change must not wait (T27).
func (s *Source) Run(ctx context.Context) error {
	for {
		err := workloadapi.WatchX509Context(ctx, watcher{s}, workloadapi.WithAddr(s.cfg.Address),
			workloadapi.WithBackoffStrategy(strategy{}))
		if ctx.Err() != nil {
			return nil
		}
		// The API said "cancelled" or "invalid argument": go-spiffe gives up there, we do not.
		s.failed(err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(maxPause):
		}
	}
}

// watcher receives what go-spiffe reads off the stream.
type watcher struct{ s *Source }

func (w watcher) OnX509ContextUpdate(c *workloadapi.X509Context) {
	state := State{Certificate: certificate(c.DefaultSVID()), Bundles: map[string][]*x509.Certificate{}, UpdatedAt: time.Now()}
	for _, b := range c.Bundles.Bundles() {
		state.Bundles[b.TrustDomain().Name()] = b.X509Authorities()
	}
	w.s.mu.Lock()
	first := w.s.state.UpdatedAt.IsZero()
	w.s.state, w.s.last = state, nil
	w.s.mu.Unlock()
	if first {
		close(w.s.ready)
	}
	w.s.cfg.OnChange()
}

func (w watcher) OnX509ContextWatchError(err error) { w.s.failed(err) }

func (s *Source) failed(err error) {
	if errors.Is(err, context.Canceled) {
		return // Run is being stopped
	}
	s.mu.Lock()
	s.last = err
	s.mu.Unlock()
	s.cfg.OnError(fmt.Errorf("workload_api %s: %w", s.cfg.Address, err))
}

// certificate is the SVID as crypto/tls serves it; go-spiffe checked that the key fits.
func certificate(svid *x509svid.SVID) *tls.Certificate {
	cert := &tls.Certificate{PrivateKey: svid.PrivateKey, Leaf: svid.Certificates[0]}
	for _, c := range svid.Certificates {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	return cert
}

const (
	firstPause = 50 * time.Millisecond
	maxPause   = 2 * time.Second
)

// strategy makes pauses that double up to maxPause.
type strategy struct{}

func (strategy) NewBackoff() workloadapi.Backoff { return &backoff{next: firstPause} }

type backoff struct{ next time.Duration }

// Next returns the pause before the next attempt.
func (b *backoff) Next() time.Duration {
	pause := b.next
	b.next = min(2*b.next, maxPause)
	return pause
}

// Reset is called when the stream flows again.
func (b *backoff) Reset() { b.next = firstPause }
