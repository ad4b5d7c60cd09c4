// Package audit keeps the record of every access: typed events, written as chained and signed lines
// that nobody can change unseen, and read back by verify, search, report and tail.
//
// It does not decide what is recorded, it never logs, and it knows neither policy nor protocol: the
// caller fills plain fields.
package audit

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// Delivery says when a statement may go ahead of its record. Both kinds use the same methods of a
// Log: which to call is the caller's to obey.
type Delivery string

const (
	BestEffort Delivery = "best_effort" // Append: a bounded queue, synced each second
	Strict     Delivery = "strict"      // Submit and AppendDurable: durable first
)

// Config is what Open needs. Zero values take the defaults named.
type Config struct {
	Directory         string // created 0700
	Node              string // name of this process's host in every line and file
	Delivery          Delivery
	SegmentSize       int64         // bytes; 256 MiB
	SegmentAge        time.Duration // 24h
	MaxStatementBytes int           // of text in a line; 16 KiB. A line has 256 KiB at most
	CheckpointKey     string        // path of the Ed25519 key; DIRECTORY/audit.key
	Redact            []string      // RE2
	QueueRecords      int           // records waiting; 8192
	QueueBytes        int           // of text and values waiting; 32 MiB
	Files             Files         // nil: the operating system's
}

func (c Config) withDefaults() (Config, error) {
	if c.Directory == "" {
		return c, errors.New("no directory")
	}
	if err := checkNode(c.Node); err != nil {
		return c, err
	}
	orInt(&c.MaxStatementBytes, defaultText)
	orInt(&c.QueueRecords, 8192)
	orInt(&c.QueueBytes, 32<<20)
	orInt(&c.SegmentSize, 256<<20)
	orInt(&c.SegmentAge, 24*time.Hour)
	c.MaxStatementBytes = min(c.MaxStatementBytes, maxLine)
	if c.Delivery == "" {
		c.Delivery = BestEffort
	}
	if c.CheckpointKey == "" {
		c.CheckpointKey = filepath.Join(c.Directory, keyFile)
	}
	if c.Files == nil {
		c.Files = osFiles{}
	}
	return c, nil
}

func orInt[T int | int64 | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// Log is one process's stream. Its methods are safe for concurrent use.
type Log struct {
	// Fixed by Open.
	cfg     Config
	privacy privacy
	stream  string
	lock    *streamLock
	wake    chan struct{} // the queue is no longer empty
	hurry   chan struct{} // somebody waits, the queue is half full, or Close was called
	done    chan struct{} // the writer has ended

	mu      sync.Mutex
	queue   queue
	batch   *batch    // of what is in queue
	since   time.Time // when the oldest record came that the writer has not taken; zero: none
	taken   time.Time // the same of those it is at
	lost    uint64    // records dropped since the last line
	total   Stats
	failure *WriteError // what keeps the writer from writing; nil when it works
	closed  bool
	file    string // segment being written
	offset  int64  // of it that is durable

	closing  sync.Once
	closeErr error // written before done is closed
}

// Append queues r and returns at once. It never blocks: when the queue is full r is dropped, and the
// next line says how many were. The error says so, or that the log is closed; a caller may ignore it.
func (l *Log) Append(r *Record) error {
	_, err := l.enqueue(false, r)
	return err
}

// Submit queues records whose caller waits for them, all in one batch, and returns at once. While
// the disk fails, the Ticket has its error already.
func (l *Log) Submit(recs ...*Record) Ticket {
	t, err := l.enqueue(true, recs...)
	if err != nil {
		return failed(err)
	}
	return t
}

// AppendStatement is Append of a statement of the session that refs describes, without an allocation: s
// is copied, but for what it points to.
func (l *Log) AppendStatement(refs *Refs, s *Ran) error {
	if s.Time.IsZero() {
		s.Time = time.Now()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	size := l.queue.cost(&s.Stmt)
	if err := l.admit(false, 1, size); err != nil {
		return err
	}
	if l.crowds(refs, size) {
		l.dropped(1)
		return ErrLost
	}
	l.queue.addStatement(refs, s, false)
	l.queued(false, 1)
	return nil
}

// SubmitStatements is Submit of statements of the session that refs describes. list is copied.
func (l *Log) SubmitStatements(refs *Refs, list []Ran) Ticket {
	for i := range list {
		if list[i].Time.IsZero() {
			list[i].Time = time.Now()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.admit(true, len(list), 0); err != nil { // who waits is bounded by what he may send meanwhile
		return failed(err)
	}
	for i := range list {
		l.queue.addStatement(refs, &list[i], true)
	}
	return l.queued(true, len(list))
}

// failed is a Ticket whose outcome is known already.
func failed(err error) Ticket { return Ticket{&batch{done: closedChan, err: err}} }

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// AppendDurable returns when r is on the disk, under either delivery. When ctx ends first its cause is
// returned, and r may become durable later.
func (l *Log) AppendDurable(ctx context.Context, r *Record) error {
	return l.Submit(r).Wait(ctx)
}

// Write is AppendDurable when delivery is strict, else Append.
func (l *Log) Write(ctx context.Context, r *Record) error {
	if l.Strict() {
		return l.AppendDurable(ctx, r)
	}
	return l.Append(r)
}

// Strict reports whether statements wait for their record.
func (l *Log) Strict() bool { return l.cfg.Delivery == Strict }

// ErrLost is returned by Append when the queue is full.
var ErrLost = errors.New("audit: queue full, record lost")

// enqueue queues records, or refuses all of them.
func (l *Log) enqueue(waited bool, recs ...*Record) (Ticket, error) {
	size := 0
	for _, r := range recs {
		size += r.weight()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.admit(waited, len(recs), size); err != nil {
		return Ticket{}, err
	}
	for _, r := range recs {
		l.queue.add(r, waited)
	}
	return l.queued(waited, len(recs)), nil
}

// admit says whether n records of size bytes of text and values may be queued. It and queued are called
// with mu held.
func (l *Log) admit(waited bool, n, size int) error {
	switch {
	case l.closed:
		return errClosed
	case waited && l.failure != nil:
		l.total.Refused += uint64(n)
		return l.failure
	case !waited && (len(l.queue.entries) >= l.cfg.QueueRecords || l.queue.bytes+size > l.cfg.QueueBytes):
		l.dropped(n)
		return ErrLost
	}
	return nil
}

func (l *Log) dropped(n int) {
	l.lost += uint64(n)
	l.total.Lost += uint64(n)
}

// queued wakes the writer for the n records that were queued last. Those that nobody waits for wake it
// once a drain, and once more when they are many.
func (l *Log) queued(waited bool, n int) Ticket {
	first, half := len(l.queue.entries) == n, l.cfg.QueueRecords/2
	if first {
		l.since = time.Now()
	}
	switch {
	case waited || len(l.queue.entries) == half || l.queue.bytes > l.cfg.QueueBytes/2:
		poke(l.hurry)
	case first:
		poke(l.wake)
	}
	return Ticket{l.batch}
}

// poke leaves a token in c, unless one is there.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take empties the queue into q, which is empty, and starts a new batch.
func (l *Log) take(q *queue) (*batch, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, lost := l.batch, l.lost
	*q, l.queue = l.queue, *q
	l.batch, l.lost = newBatch(), 0
	l.taken, l.since = l.since, time.Time{}
	return b, lost
}

// settled says that the writer is through with what it took.
func (l *Log) settled() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = time.Time{}
}

// silence is how long the writer may be at a record before the disk counts as one that does not answer.
const silence = 10 * time.Second

// errSilent: a write or sync has neither succeeded nor failed.
var errSilent = &WriteError{Err: errors.New("the disk does not answer")}

// Healthy is nil, or what keeps records from the disk: an error, or that it has not answered for 10 s.
// A strict broker refuses logins meanwhile and is not ready; it mends itself.
func (l *Log) Healthy() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.failure != nil:
		return l.failure
	case l.closed:
		return errClosed
	case late(l.taken), late(l.since):
		return errSilent
	}
	return nil
}

func late(since time.Time) bool { return !since.IsZero() && time.Since(since) > silence }

// Hides reports whether text holds something the log would remove: then no hash of it may be given,
// since that can be tried offline.
func (l *Log) Hides(text string, fingerprintOnly bool) bool {
	return l.privacy.statement(&Stmt{Text: text, FingerprintOnly: fingerprintOnly}).redacted
}

// Durable is the segment being written, by its base name, and how much of it is on the disk for good.
func (l *Log) Durable() (file string, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file, l.offset
}

// Stats returns the counters.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.total
	s.Queued = len(l.queue.entries)
	return s
}

// Close writes what is queued, signs the tail, closes the segment and ends the writer. Records
// appended later are refused. It is safe to call twice; the second call returns the first's result.
//
// A disk that does not answer is waited for as long as it makes progress, and 10 to 20 s after that: the
// writer is then left behind, and the error says so. The next start closes the stream, as after a crash.
func (l *Log) Close() error {
	l.closing.Do(func() {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		poke(l.hurry)
	})
	tick := time.NewTicker(silence)
	defer tick.Stop()
	for durable := l.Stats().Syncs; ; {
		select {
		case <-l.done:
			return l.closeErr
		case <-tick.C:
		}
		now := l.Stats()
		if now.Syncs == durable {
			return fmt.Errorf("%w: the end of %s is neither written nor signed", errSilent, l.stream)
		}
		durable = now.Syncs
	}
}

func (l *Log) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// count adds lines that became durable, up to offset of the segment at path.
func (l *Log) count(lines, bytes int, path string, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file, l.offset = filepath.Base(path), offset
	l.total.Lines += uint64(lines)
	l.total.Bytes += uint64(bytes)
	l.total.Syncs++
}

// refused counts n records whose callers are told that they failed.
func (l *Log) refused(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total.Refused += n
}

// stuck says that the disk failed: Submit refuses from now on, and who waits already is told.
func (l *Log) stuck(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure = &WriteError{err}
	l.total.Failures++
	l.total.Refused += l.queue.refuse()
	l.batch.err = l.failure
	close(l.batch.done)
	l.batch = newBatch()
}

// mended ends stuck.
func (l *Log) mended() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure = nil
}
