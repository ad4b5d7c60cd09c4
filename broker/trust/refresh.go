package trust

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	refreshTick = 5 * time.Second // between looks for answers past their half life
	refreshers  = 4               // questions under way in the background
)

// refreshOCSP keeps the answers fresh and staples our own certificate's (T61). It returns when ctx
// ends and its questions have.
func (w *Watcher) refreshOCSP(ctx context.Context) {
	ticker := time.NewTicker(refreshTick)
	defer ticker.Stop()
	cache := w.Current().ocsp // the same in all snapshots
	for {
		w.restaple(ctx)
		w.refreshDue(ctx, cache)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// awaitRevoked puts a new snapshot in force when a responder said that a certificate is revoked, to
// a login or in the background: its live sessions are then decided again (T65). It returns when ctx
// ends.
func (w *Watcher) awaitRevoked(ctx context.Context) {
	revoked := w.Current().ocsp.revoked
	for {
		select {
		case <-ctx.Done():
			return
		case <-revoked:
			w.renew(CauseOCSP)
		}
	}
}

// refreshDue asks about every entry that is due. A responder that gives no answer in time is asked no
// more until the next look: it holds up neither the others nor logins that it would answer by then.
func (w *Watcher) refreshDue(ctx context.Context, cache *ocspCache) {
	queue := make(chan *ocspEntry)
	var wg sync.WaitGroup
	var silent sync.Map // by host
	for range refreshers {
		wg.Go(func() {
			for e := range queue {
				host := firstResponder(&e.sub)
				if _, skip := silent.Load(host); skip || ctx.Err() != nil || !cache.claim(e, cache.clock()) {
					continue
				}
				if err := w.refreshOne(ctx, cache, e); errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errOCSPSlots) {
					silent.Store(host, true)
				}
			}
		})
	}
	for _, e := range cache.due(cache.clock()) {
		queue <- e
	}
	close(queue)
	wg.Wait()
}

// refreshOne survives a panic of a parser on what a responder sent; fetch records the failure.
func (w *Watcher) refreshOne(ctx context.Context, cache *ocspCache, e *ocspEntry) error {
	defer func() { _ = recover() }()
	s := w.Current()
	return cache.fetch(ctx, e, cache.clock, s.delegateRevoked(cache.clock()))
}

// renew puts a copy of the snapshot in force: a new pointer is what sessions look for (T90).
func (w *Watcher) renew(cause string) {
	w.loading.Lock()
	defer w.loading.Unlock()
	old := w.Current()
	s := *old
	s.decided = time.Now()
	w.current.Store(&s)
	w.cfg.OnChange(Change{Cause: cause, Old: old, New: &s})
}

// restaple refreshes the response for our own certificate. Only that it is revoked is worth telling:
// without an answer the last one serves until its end.
func (w *Watcher) restaple(ctx context.Context) {
	s := w.Current()
	if s.stapler == nil {
		return
	}
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic in OCSP: %v", p)
			}
		}()
		return s.stapler.refresh(ctx, s.ocsp)
	}()
	if errors.Is(err, errOwnRevoked) && !s.stapler.told {
		s.stapler.told = true
		w.loading.Lock()
		defer w.loading.Unlock()
		w.cfg.OnChange(Change{Cause: CauseOCSP, Old: s, Err: err})
	}
}
