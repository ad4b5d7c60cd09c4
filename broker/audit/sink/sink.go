// Package sink copies the record of access to a second place, from a cursor in the segments: each line
// at least once, in order, and the writer of the record never waits for it.
//
// It does not write the record, it never logs, and it is not what strict delivery relies on.
package sink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/pgsignet/pgsignet/broker/audit"
)

// Line is one line of the record. (Stream, Seq) names it for good.
type Line struct {
	Stream string
	Seq    int64
	Event  string
	Node   string
	Time   time.Time
	Text   []byte // without LF
}

// Destination takes lines. It is used by one goroutine.
type Destination interface {
	// Deliver returns nil when every line has arrived, or a *Differing when every line is there, some of them in
	// another form. Otherwise all of them are given again: it must not mind a line that it has.
	Deliver(ctx context.Context, lines []Line) error
	// Check returns an error when the connection has ended on which the last lines were delivered: a
	// Destination without acknowledgements cannot know then what became of them.
	Check() error
	// Close ends the connection; the next Deliver makes a new one.
	Close() error
}

// Config is what a Sink needs. Zero values take the defaults named.
type Config struct {
	Directory string     // of the record
	Name      string     // of the sink, part of its cursor's file name
	Log       *audit.Log // of this process: its lines are taken when durable, not at the next checkpoint
	// Settle is how long a Destination without acknowledgements must stay connected until what it took
	// counts as arrived.
	Settle  time.Duration
	Every   time.Duration // how often to look for new lines; 1 s
	Lines   int           // in a batch, at most; 1000
	Timeout time.Duration // of one batch; 30 s
	Retry   time.Duration // longest pause after a failure, doubling from 1 s; 1 min
	// Report is told of an error when deliveries begin to fail, and of nil when they work again.
	Report func(error)
	// Differs is told of lines that a Destination has otherwise than they were written; nil: nobody is.
	Differs func(*Differing)
}

// Differing is returned by Destination's Deliver when it had lines already that are not as they were written.
type Differing struct {
	Lines  int    // of the batch
	Stream string // the first of them
	Seq    int64
}

func (d *Differing) Error() string {
	return fmt.Sprintf("%d lines are there otherwise, from %s %d on", d.Lines, d.Stream, d.Seq)
}

// maxBatch bounds the text of a batch, in bytes.
const maxBatch = 1 << 20

// Sink copies one directory to one Destination.
type Sink struct {
	// Fixed by New.
	cfg Config
	dst Destination

	// Owned by Run.
	feed    *audit.Feed
	key     string // of the cursor: its directory
	batch   []Line
	bytes   int
	sent    []sent    // delivered, not settled
	saved   time.Time // when the cursor was, within a pass
	failing bool

	mu    sync.Mutex
	stats Stats
}

// sent is a batch on its way, and where the cursor goes when it has arrived.
type sent struct {
	at        time.Time
	positions map[string]audit.Position
}

// Stats is how a Sink does.
type Stats struct {
	Delivered uint64    // lines, repeated ones too
	Differing uint64    // lines that the destination had otherwise, each time that they were given
	Failures  uint64    // batches
	Error     error     // of the last batch; nil when it was delivered
	Last      time.Time // of the last delivery
}

// New checks the configuration. It starts nothing.
func New(cfg Config, dst Destination) (*Sink, error) {
	if cfg.Directory == "" || cfg.Name == "" || cfg.Name != filepath.Base(cfg.Name) {
		return nil, fmt.Errorf("sink %q of directory %q: both need a name", cfg.Name, cfg.Directory)
	}
	set(&cfg.Every, time.Second)
	set(&cfg.Timeout, 30*time.Second)
	set(&cfg.Retry, time.Minute)
	if cfg.Lines <= 0 {
		cfg.Lines = 1000
	}
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	return &Sink{cfg: cfg, dst: dst}, nil
}

func set(d *time.Duration, otherwise time.Duration) {
	if *d <= 0 {
		*d = otherwise
	}
}

// Stats returns the counters. It is safe for concurrent use.
func (s *Sink) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Run copies lines until ctx ends, and returns nil then. Of the processes that share a directory one at
// a time copies, all streams of it; the others wait for it to end.
func (s *Sink) Run(ctx context.Context) error {
	lock, err := s.lock(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	defer lock.Close()
	defer s.dst.Close()
	pause := time.Duration(0)
	for {
		if err := s.rewind(); err != nil {
			return err
		}
		before := s.Stats().Delivered
		err := s.copy(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if s.failed(err); s.Stats().Delivered > before {
			pause = 0
		}
		s.dst.Close()
		pause = min(max(2*pause, time.Second), s.cfg.Retry)
		if s.sent = nil; !sleep(ctx, pause) {
			return nil
		}
	}
}

// Once copies what there is now and returns. It is for the last lines of a process that ends, after
// Run has returned and the log is closed.
func (s *Sink) Once(ctx context.Context) error {
	lock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := s.rewind(); err != nil {
		return err
	}
	err = s.pass(ctx)
	if err == nil {
		err = s.dst.Check()
	}
	if cerr := s.dst.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return s.save(time.Now().Add(s.cfg.Settle))
}

// copy delivers until something fails.
func (s *Sink) copy(ctx context.Context) error {
	for {
		if err := s.pass(ctx); err != nil {
			return err
		}
		if err := s.settle(time.Now()); err != nil {
			return err
		}
		if !sleep(ctx, s.cfg.Every) {
			return context.Cause(ctx)
		}
	}
}

// pass delivers every line there is.
func (s *Sink) pass(ctx context.Context) error {
	s.batch, s.bytes = s.batch[:0], 0
	_, err := s.feed.Read(ctx, func(e *audit.Entry) error {
		if len(s.batch) >= s.cfg.Lines || s.bytes+len(e.Text) > maxBatch && s.bytes > 0 {
			if err := s.deliver(ctx); err != nil { // of the lines before e: the feed stands behind them
				return err
			}
		}
		s.bytes += len(e.Text)
		s.batch = append(s.batch, line(e))
		return nil
	})
	if err != nil {
		return err
	}
	return s.deliver(ctx)
}

// line copies an entry, whose memory is the feed's.
func line(e *audit.Entry) Line {
	t, err := time.Parse(time.RFC3339Nano, e.Time)
	if err != nil {
		t = time.Unix(0, 0)
	}
	return Line{Stream: e.Stream, Seq: e.Seq, Event: e.Event, Node: e.Node, Time: t.UTC(), Text: append([]byte(nil), e.Text...)}
}

// deliver sends the batch.
func (s *Sink) deliver(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	within, stop := context.WithTimeout(ctx, s.cfg.Timeout)
	defer stop()
	err := s.dst.Deliver(within, s.batch)
	if d, ok := errors.AsType[*Differing](err); ok {
		s.differs(d)
	} else if err != nil {
		return fmt.Errorf("deliver %d lines from %s %d: %w", len(s.batch), s.batch[0].Stream, s.batch[0].Seq, err)
	}
	s.delivered(len(s.batch))
	s.sent = append(s.sent, sent{at: time.Now(), positions: s.feed.Positions()})
	s.batch, s.bytes = s.batch[:0], 0
	if now := time.Now(); now.Sub(s.saved) >= time.Second { // a long pass that fails late is not all in vain
		s.saved = now
		return s.settle(now)
	}
	return nil
}

// settle moves the cursor behind what has arrived by now.
func (s *Sink) settle(now time.Time) error {
	if len(s.sent) == 0 {
		return nil
	}
	if err := s.dst.Check(); err != nil {
		return err
	}
	return s.save(now)
}

// save is settle once the connection was looked at.
func (s *Sink) save(now time.Time) error {
	n := 0
	for n < len(s.sent) && now.Sub(s.sent[n].at) >= s.cfg.Settle {
		n++
	}
	if n == 0 {
		return nil
	}
	if err := saveCursor(s.cursorPath(), audit.Cursor{Key: s.key, Streams: s.sent[n-1].positions}); err != nil {
		return err
	}
	s.sent = append(s.sent[:0], s.sent[n:]...)
	return nil
}

// rewind reads the cursor: what was not settled is sent again.
func (s *Sink) rewind() error {
	c, err := audit.LoadCursor(s.cfg.Directory, s.cfg.Name)
	if err != nil {
		return err
	}
	s.key = c.Key
	s.feed = audit.NewFeed(s.cfg.Directory, c.Streams, true, s.cfg.Log)
	return nil
}

func (s *Sink) cursorPath() string {
	return audit.CursorPath(s.cfg.Directory, s.cfg.Name)
}

func (s *Sink) delivered(n int) {
	s.mu.Lock()
	s.stats.Delivered += uint64(n)
	s.stats.Error, s.stats.Last = nil, time.Now()
	s.mu.Unlock()
	if s.failing {
		s.failing = false
		s.cfg.Report(nil)
	}
}

func (s *Sink) differs(d *Differing) {
	s.mu.Lock()
	s.stats.Differing += uint64(d.Lines)
	s.mu.Unlock()
	if s.cfg.Differs != nil {
		s.cfg.Differs(d)
	}
}

func (s *Sink) failed(err error) {
	s.mu.Lock()
	s.stats.Failures++
	s.stats.Error = err
	s.mu.Unlock()
	if !s.failing {
		s.failing = true
		s.cfg.Report(err)
	}
}

// lock waits until no other process copies to this sink.
func (s *Sink) lock(ctx context.Context) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(s.cfg.Directory, "sink-"+s.cfg.Name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		if !sleep(ctx, s.cfg.Every) {
			f.Close()
			return nil, context.Cause(ctx)
		}
	}
}

// ended is nil when err came of ctx ending.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// sleep waits for d, and reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
