package trust

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Defaults of WatcherConfig.
const (
	defaultPoll   = 15 * time.Second
	defaultSettle = 100 * time.Millisecond
	maxSettle     = 400 * time.Millisecond // however busy the directory: a CRL binds within a second (T58)
)

// WatcherConfig says what to load and whom to tell.
type WatcherConfig struct {
	Trust  Config
	Poll   time.Duration // between looks at the files where events do not arrive (NFS, overlays); 0: 15 s
	Settle time.Duration // quiet time after a change before the files are read; 0: 100 ms

	// OnChange is called, one call at a time, for everything that happened. It must return soon
	// and may call any method of the Watcher but Install.
	OnChange func(Change)
}

// Causes of a Change.
const (
	CauseFile = "file"
	CauseOCSP = "ocsp" // a responder says revoked, or about stapling
)

// Change is one attempt to replace a listener's snapshot.
type Change struct {
	Cause    string
	Old, New *Snapshot // New is in force now; nil when nothing changed
	Err      error     // why Old stays in force
	Waiting  bool      // Err is a certificate and key that do not fit yet: half of a pair was written
	Notices  []Notice  // those that Old had not
}

// Status is the state of reloading, for metrics.
type Status struct {
	LoadedAt time.Time // of the snapshot in force: its age is that of the last good reload
	Err      error     // of the last attempt; nil after a success
	FailedAt time.Time // of the first failure since the last success; zero after a success
}

// Watcher keeps one listener's Snapshot up to date with its files. Everything is loaded whole or
// not at all: after an error the last good snapshot stays (T78). Methods are safe for concurrent use.
type Watcher struct {
	cfg     WatcherConfig
	current atomic.Pointer[Snapshot]
	poke    chan struct{} // something may have changed

	loading sync.Mutex // held while a snapshot is replaced; guards seen and OnChange
	seen    map[string]fileState

	mu     sync.Mutex // guards status
	status Status
}

// NewWatcher loads the first snapshot. It starts nothing: call Run.
func NewWatcher(cfg WatcherConfig) (*Watcher, error) {
	if cfg.Poll <= 0 {
		cfg.Poll = defaultPoll
	}
	if cfg.Settle <= 0 {
		cfg.Settle = defaultSettle
	}
	if cfg.OnChange == nil {
		cfg.OnChange = func(Change) {}
	}
	w := &Watcher{cfg: cfg, poke: make(chan struct{}, 1)}
	w.seen = scan(&cfg.Trust, nil)
	s, err := load(cfg.Trust, nil)
	if err != nil {
		return nil, err
	}
	w.current.Store(s)
	w.status.LoadedAt = s.at
	return w, nil
}

// load is Load now, with a panic of a parser turned into an error.
func load(cfg Config, prev *Snapshot) (s *Snapshot, err error) {
	defer func() {
		if p := recover(); p != nil {
			s, err = nil, fmt.Errorf("panic while loading: %v", p)
		}
	}()
	return Load(cfg, time.Now(), prev)
}

// Current is the snapshot in force.
func (w *Watcher) Current() *Snapshot { return w.current.Load() }

// Status tells how the last reload went.
func (w *Watcher) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// Prepare loads a snapshot for a new configuration without putting it in force: the caller prepares
// all listeners before it installs any.
func (w *Watcher) Prepare(cfg Config) (*Snapshot, error) {
	seen := scan(&cfg, nil)
	s, err := load(cfg, w.Current())
	if err != nil {
		return nil, err
	}
	s.seen = seen
	return s, nil
}

// Install puts a prepared snapshot in force and watches its files from now on. It does not call
// OnChange.
func (w *Watcher) Install(s *Snapshot) {
	w.loading.Lock()
	defer w.loading.Unlock()
	w.seen = s.seen
	w.put(s)
	w.Poke() // the files may have changed since Prepare
}

// Poke makes Run look at the files and at the Workload API's values soon.
func (w *Watcher) Poke() {
	select {
	case w.poke <- struct{}{}:
	default:
	}
}

// replace loads a new snapshot and puts it in force; others says that more may have changed than our own
// certificate and key. loading is held.
func (w *Watcher) replace(cause string, others bool) error {
	old := w.Current()
	s, err := load(old.cfg, old)
	if others && errors.Is(err, errOwn) {
		old = w.keepPair(cause, old)
	}
	change := Change{Cause: cause, Old: old, New: s, Err: err}
	if err != nil {
		change.Waiting = errors.Is(err, ErrPair) || errors.Is(err, errChanged)
		w.fail(err)
	} else {
		w.put(s)
		change.Notices = newNotices(old, s)
	}
	w.cfg.OnChange(change)
	return err
}

// keepPair puts in force what can be of a load that failed by our own certificate and key: half a pair, or
// one that has expired, must not keep a revoked client in. It returns the snapshot in force.
func (w *Watcher) keepPair(cause string, old *Snapshot) *Snapshot {
	cfg := old.cfg
	cfg.keepPair = true
	s, err := load(cfg, old)
	if err != nil {
		return old
	}
	w.put(s)
	w.cfg.OnChange(Change{Cause: cause, Old: old, New: s, Notices: newNotices(old, s)})
	return s
}

func (w *Watcher) put(s *Snapshot) {
	w.current.Store(s)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = Status{LoadedAt: s.at}
}

func (w *Watcher) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Err = err
	if w.status.FailedAt.IsZero() {
		w.status.FailedAt = time.Now()
	}
}

func newNotices(old, s *Snapshot) []Notice {
	known := map[Notice]bool{}
	for _, n := range old.notices {
		known[n] = true
	}
	var out []Notice
	for _, n := range s.notices {
		if !known[n] {
			out = append(out, n)
		}
	}
	return out
}

// Run watches until ctx ends. It returns nil then, after its goroutines have ended; an OCSP question
// under way is cancelled.
func (w *Watcher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { w.refreshOCSP(ctx) })
	wg.Go(func() { w.awaitRevoked(ctx) })
	w.watch(ctx)
	return nil
}

// watch looks at the files after events, and at least every Poll.
func (w *Watcher) watch(ctx context.Context) {
	dirs, events, poll := newDirWatch(w.cfg.Poll)
	defer dirs.close()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	activation := time.NewTimer(0)
	defer activation.Stop()
	for {
		dirs.follow(&w.Current().cfg)
		w.look()
		activation.Reset(w.untilActive())
		select {
		case <-ctx.Done():
			return
		case <-activation.C:
			w.renew(CauseFile)
		case <-ticker.C:
		case <-w.poke:
		case <-events:
			if !settle(ctx, events, w.cfg.Settle) {
				return
			}
		case <-dirs.errors(): // an overflow: events were lost
		}
	}
}

// untilActive is the time until a CRL that is dated in the future counts, so that live sessions are
// decided again then.
func (w *Watcher) untilActive() time.Duration {
	if s := w.Current(); s.crls != nil {
		if next := s.crls.nextActive(s.decided); !next.IsZero() {
			return time.Until(next) // at once if it passed since s was made
		}
	}
	return 1 << 62
}

// settle waits until no event came for quietTime, at most maxSettle in all. It reports false when ctx ended.
func settle(ctx context.Context, events <-chan fsnotify.Event, quietTime time.Duration) bool {
	deadline := time.NewTimer(maxSettle)
	defer deadline.Stop()
	quiet := time.NewTimer(quietTime)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-deadline.C:
			return true
		case <-quiet.C:
			return true
		case <-events:
			quiet.Reset(quietTime)
		}
	}
}

// look reloads when contents changed since the last attempt, or when that attempt failed. A failure
// that repeats itself is reported once.
func (w *Watcher) look() {
	w.loading.Lock()
	defer w.loading.Unlock()
	s, failed := w.Current(), w.Status().Err
	states := scan(&s.cfg, w.seen)
	changed := !sameContents(states, w.seen)
	others := !sameContents(withoutPair(states, &s.cfg), withoutPair(w.seen, &s.cfg)) || s.workloadChanged()
	w.seen = states
	switch {
	case changed || others:
		w.replace(CauseFile, others)
	case failed != nil:
		if again, err := load(s.cfg, s); err == nil {
			w.put(again)
			w.cfg.OnChange(Change{Cause: CauseFile, Old: s, New: again, Notices: newNotices(s, again)})
		} else if err.Error() != failed.Error() {
			w.fail(err)
			w.cfg.OnChange(Change{Cause: CauseFile, Old: s, Err: err, Waiting: errors.Is(err, ErrPair)})
		}
	}
}
