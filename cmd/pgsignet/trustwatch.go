package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/broker/trust/workload"
)

// workloadTimeout is how long serve waits for the first answer of a Workload API.
const workloadTimeout = 30 * time.Second

// trustSources keep what every listener trusts up to date: a watcher of its files, and the Workload
// APIs that some of them share.
type trustSources struct {
	// Fixed at creation.
	watchers  map[string]*trust.Watcher   // by listener
	workloads map[string]*workload.Source // by address

	mu      sync.Mutex       // guards poked and changes
	poked   []*trust.Watcher // those to tell of a Workload API's update: none until all have been made
	changes []trustChange
	changed chan struct{} // there are changes
}

// trustChange is what a listener's watcher reported.
type trustChange struct {
	listener string
	trust.Change
}

// newTrustSources loads what every listener trusts. It starts nothing but the Workload APIs, whose
// first answer it waits for; they are joined by wg when ctx ends.
func newTrustSources(ctx context.Context, wg *sync.WaitGroup, cfg *config.Config, log *zap.Logger) (*trustSources, error) {
	t := &trustSources{
		watchers: make(map[string]*trust.Watcher), workloads: make(map[string]*workload.Source),
		changed: make(chan struct{}, 1),
	}
	if err := t.startWorkloads(ctx, wg, cfg, log); err != nil {
		return nil, err
	}
	var errs []error
	for i := range cfg.Listeners {
		l := &cfg.Listeners[i]
		w, err := trust.NewWatcher(trust.WatcherConfig{
			Trust:    t.config(l, cfg),
			OnChange: func(c trust.Change) { t.report(trustChange{l.Name, c}) },
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("listener %q: %w", l.Name, err))
			continue
		}
		t.watchers[l.Name] = w
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.poked = slices.Collect(maps.Values(t.watchers)) // run has each look once: no update is missed
	return t, errors.Join(errs...)
}

// startWorkloads follows each Workload API that a listener names, and waits until all have answered.
func (t *trustSources) startWorkloads(ctx context.Context, wg *sync.WaitGroup, cfg *config.Config, log *zap.Logger) error {
	for i := range cfg.Listeners {
		address := workloadAddress(&cfg.Listeners[i])
		if address == "" || t.workloads[address] != nil {
			continue
		}
		source, err := workload.New(workload.Config{
			Address: address, OnChange: t.poke,
			OnError: func(err error) { log.Warn("workload api", zap.Error(err)) },
		})
		if err != nil {
			return err
		}
		t.workloads[address] = source
		wg.Go(func() { _ = source.Run(ctx) }) // its error is always nil
	}
	first, cancel := context.WithTimeoutCause(ctx, workloadTimeout, errors.New("it gave no answer within 30 s"))
	defer cancel()
	for _, source := range t.workloads {
		if err := source.Ready(first); err != nil {
			return err
		}
	}
	return nil
}

func workloadAddress(l *config.Listener) string {
	if l.SPIFFE == nil {
		return ""
	}
	return l.SPIFFE.WorkloadAPI
}

// poke has every listener compare what a Workload API says with what it holds. A Workload API may call
// it while the watchers are still being made.
func (t *trustSources) poke() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.poked {
		w.Poke()
	}
}

// config is what a listener's watcher loads.
func (t *trustSources) config(l *config.Listener, cfg *config.Config) trust.Config {
	c := trustConfig(l, cfg.Policy().OIDs())
	if source := t.workloads[c.WorkloadAPI]; source != nil {
		c.Workload = func() trust.Workload {
			now := source.Current()
			return trust.Workload{Certificate: now.Certificate, Bundles: now.Bundles}
		}
	}
	return c
}

// prepare loads what every listener of cfg shall trust and puts none of it in force.
func (t *trustSources) prepare(cfg *config.Config) (map[string]*trust.Snapshot, error) {
	prepared := make(map[string]*trust.Snapshot)
	var errs []error
	for i := range cfg.Listeners {
		l := &cfg.Listeners[i]
		s, err := t.watchers[l.Name].Prepare(t.config(l, cfg))
		if err != nil {
			errs = append(errs, fmt.Errorf("listener %q: %w", l.Name, err))
			continue
		}
		prepared[l.Name] = s
	}
	return prepared, errors.Join(errs...)
}

// install has the watchers go on from what prepare loaded.
func (t *trustSources) install(prepared map[string]*trust.Snapshot) {
	for name, s := range prepared {
		t.watchers[name].Install(s)
	}
}

// current is what every listener trusts now.
func (t *trustSources) current() map[string]*trust.Snapshot {
	now := make(map[string]*trust.Snapshot)
	for name, w := range t.watchers {
		now[name] = w.Current()
	}
	return now
}

// report queues a change; the watcher that reports it must not wait.
func (t *trustSources) report(c trustChange) {
	t.mu.Lock()
	t.changes = append(t.changes, c)
	t.mu.Unlock()
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// take returns the queued changes, oldest first.
func (t *trustSources) take() []trustChange {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.changes
	t.changes = nil
	return list
}

// run watches until ctx ends.
func (t *trustSources) run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, w := range t.watchers {
		wg.Go(func() { _ = w.Run(ctx) }) // its error is always nil
	}
	wg.Wait()
}
