package audit

import (
	"time"

	"golang.org/x/mod/sumdb/note"
)

// When the writer acts on its own.
const (
	linger          = 50 * time.Millisecond // a best-effort record waits for company at most this long
	syncEvery       = time.Second
	checkpointEvery = 10 * time.Second
	checkpointLines = 1000
	retryEvery      = 500 * time.Millisecond
	writeSize       = 256 << 10 // bytes gathered before a write
	maxUnsynced     = 4 << 20   // bytes of lines kept until they are durable
	never           = time.Duration(1<<63 - 1)
)

// writer owns the stream's files. One goroutine runs it.
type writer struct {
	log    *Log
	stream string
	signer note.Signer
	enc    encoder
	mark   line // of checkpoints: enc holds a record meanwhile
	taken  queue
	one    scratch

	// The segment being written.
	file    File
	path    string
	opened  time.Time
	written int64 // bytes given to the file
	synced  int64 // bytes of it that are durable
	segment int64 // bytes of it, those still in tail too
	records int   // lines of it that are no checkpoints

	// The chain after the last line of tail, and after the last durable line.
	chain   chain
	durable chain
	signed  int64 // lines covered by the last checkpoint and itself

	// tail holds every line that is not durable yet; tail[:sent] is in the file.
	tail  []byte
	lines []tailLine
	sent  int

	// backlog holds what a failure left over: from `time` on, to be chained anew.
	backlog [][]byte
	failed  *gap   // the segment given up, until a recovery checkpoint names it
	debris  string // a segment given up before anything in it was durable, not yet removed
	lost    uint64 // records dropped since the last line

	folds folds // refusals that wait for their second to end

	// Deadlines; zero is none.
	drainAt, syncAt, checkpointAt, retryAt time.Time
}

// tailLine is a line in tail: where it starts, where `time` starts, where it ends before its LF.
type tailLine struct {
	start, body, end int
	keep             bool   // written again after a failure: nobody was told that it failed
	lost             uint64 // what the line says of it
}

// gap is what a recovery checkpoint says of the segment before it.
type gap struct {
	path  string
	from  int64
	bytes int64
}

func newWriter(l *Log, stream string, signer note.Signer) *writer {
	return &writer{
		log: l, stream: stream, signer: signer, one: newScratch(),
		enc: encoder{node: l.cfg.Node, limits: newLimits(l.cfg.MaxStatementBytes), privacy: l.privacy},
	}
}

// begin opens the first segment and signs the start.
func (w *writer) begin() error {
	if err := w.openSegment(); err != nil {
		return err
	}
	w.addCheckpoint(&checkpoint{cause: CauseStart})
	return w.sync()
}

// run writes until Close.
func (w *writer) run() {
	defer close(w.log.done)
	timer := time.NewTimer(never)
	defer timer.Stop()
	for {
		timer.Reset(w.wait())
		select {
		case <-w.log.wake:
			w.drainAt = time.Now().Add(linger)
			continue
		case <-w.log.hurry:
			w.drainAt = time.Now()
		case <-timer.C:
		}
		w.step(time.Now())
		if w.log.isClosed() {
			w.log.closeErr = w.finish()
			return
		}
	}
}

// wait is how long nothing is due.
func (w *writer) wait() time.Duration {
	var next time.Time
	for _, t := range w.deadlines() {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if next.IsZero() {
		return never
	}
	return max(0, time.Until(next))
}

// deadlines are the times at which something is due; while the disk fails, that is the next try alone.
func (w *writer) deadlines() []time.Time {
	if w.failing() {
		return []time.Time{w.retryAt}
	}
	rotateAt := time.Time{}
	if w.records > 0 {
		rotateAt = w.opened.Add(w.log.cfg.SegmentAge)
	}
	return []time.Time{w.drainAt, w.folds.next, w.syncAt, w.checkpointAt, rotateAt}
}

func (w *writer) failing() bool { return w.file == nil }

// step does what is due at now.
func (w *writer) step(now time.Time) {
	if w.failing() && (now.Before(w.retryAt) || !w.resume()) {
		return
	}
	if due(w.drainAt, now) && !w.drain() {
		return
	}
	if err := w.timed(now); err != nil {
		w.fail(err)
	}
}

// timed does what its hour has come for, besides the queue.
func (w *writer) timed(now time.Time) error {
	if err := w.unfold(now); err != nil {
		return err
	}
	if due(w.checkpointAt, now) {
		if err := w.checkpoint(CauseInterval); err != nil {
			return err
		}
	}
	switch {
	case w.records > 0 && due(w.opened.Add(w.log.cfg.SegmentAge), now):
		return w.rotate()
	case due(w.syncAt, now):
		return w.settle()
	}
	return nil
}

// unfold writes the folded refusals of the seconds that are over.
func (w *writer) unfold(now time.Time) error {
	lines := w.folds.due(now)
	for i, r := range lines {
		if err := w.add(w.body(r), true); err != nil {
			for _, left := range lines[i+1:] {
				w.saveBody(w.body(left), true)
			}
			return err
		}
	}
	return w.flush()
}

func due(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// drain writes the queue, and syncs when somebody waits. It reports false when the disk failed.
func (w *writer) drain() bool {
	w.drainAt = time.Time{}
	q := &w.taken
	b, lost := w.log.take(q)
	w.lost += lost
	waited := false
	for i := range q.entries {
		e := &q.entries[i]
		r := q.record(e, &w.one)
		if !e.waited && w.folds.takes(r) {
			continue
		}
		waited = waited || e.waited
		if err := w.add(w.body(r), !e.waited); err != nil {
			w.keep(q.entries[i+1:])
			w.fail(err)
			w.resolve(b, err)
			return false
		}
	}
	err := error(nil)
	if waited {
		err = w.settle()
	} else {
		err = w.flush()
	}
	if err != nil {
		w.fail(err)
	}
	w.resolve(b, err)
	return err == nil
}

// body encodes r with the count of what was lost before it. A panic over a statement, which is a
// client's, costs its text and not the process.
func (w *writer) body(r *Record) (line []byte) {
	defer func() {
		if p := recover(); p != nil && r.Stmt != nil {
			bare := *r
			bare.Stmt = r.Stmt.withoutText()
			line = w.enc.body(&bare, w.lost)
		} else if p != nil {
			panic(p)
		}
	}()
	return w.enc.body(r, w.lost)
}

// withoutText is s with nothing in it that a client or server has worded.
func (s *Stmt) withoutText() *Stmt {
	bare := *s
	bare.Text, bare.TextSHA256, bare.Message, bare.Params, bare.FingerprintOnly = "", "", "", nil, true
	return &bare
}

// resolve tells those who wait for b, and empties what was taken.
func (w *writer) resolve(b *batch, err error) {
	if err != nil {
		b.err = &WriteError{err}
		w.log.refused(w.taken.waited())
	}
	close(b.done)
	w.log.settled()
	w.taken.reset()
}

// add chains a body from `time` on to the tail, and rotates when the segment is full. keep says that the
// line outlives a failure.
func (w *writer) add(body []byte, keep bool) error {
	if w.records > 0 && w.segment+int64(maxHead+len(body)) > w.log.cfg.SegmentSize {
		if err := w.rotate(); err != nil {
			w.saveBody(body, keep)
			return err
		}
	}
	w.chainLine(body, tailLine{keep: keep, lost: w.lost})
	w.lost = 0
	w.records++
	switch {
	case len(w.tail) >= maxUnsynced:
		return w.settle()
	case len(w.tail)-w.sent >= writeSize:
		return w.flush()
	}
	return nil
}

// chainLine appends a line to the tail and to the chain; t says what becomes of it at a failure.
func (w *writer) chainLine(body []byte, t tailLine) {
	t.start = len(w.tail)
	w.tail = appendHead(w.tail, w.chain.next(), w.chain.prev)
	t.body = len(w.tail)
	w.tail = append(w.tail, body...)
	t.end = len(w.tail)
	w.chain.add(w.tail[t.start:t.end])
	w.tail = append(w.tail, '\n')
	w.lines = append(w.lines, t)
	w.segment += int64(len(w.tail) - t.start)
	if w.syncAt.IsZero() {
		w.syncAt = time.Now().Add(syncEvery)
	}
	if w.checkpointAt.IsZero() {
		w.checkpointAt = time.Now().Add(checkpointEvery)
	}
}

// checkpoint signs the tree once all of it is durable: a checkpoint on the disk then proves that a
// line missing before it was not lost in a crash.
func (w *writer) checkpoint(cause Cause) error {
	if err := w.sync(); err != nil {
		return err
	}
	w.addCheckpoint(&checkpoint{cause: cause, closed: cause == CauseShutdown})
	return nil
}

// settle makes the tail durable, and signs the tree when that has brought many lines. A sync for the sake
// of a signature alone would cost a busy best-effort log several a second.
func (w *writer) settle() error {
	if err := w.sync(); err != nil {
		return err
	}
	if w.chain.edge.size-w.signed >= checkpointLines {
		w.addCheckpoint(&checkpoint{cause: CauseInterval})
		if w.drainAt.IsZero() {
			w.drainAt = time.Now().Add(linger)
		}
	}
	return nil
}

// addCheckpoint signs the tree as it stands and appends the line.
func (w *writer) addCheckpoint(c *checkpoint) {
	c.size = w.chain.edge.size
	signed, err := signTree(w.stream, c.size, w.chain.edge.root(), c.claims(), w.signer)
	if err != nil {
		panic("audit: sign checkpoint: " + err.Error()) // Ed25519 signs anything; the text is well formed
	}
	c.note = signed
	w.chainLine(checkpointBody(&w.mark, time.Now(), w.enc.node, c), tailLine{})
	w.signed = w.chain.edge.size
	w.checkpointAt = time.Time{}
}

// flush gives the tail to the file.
func (w *writer) flush() error {
	if w.sent == len(w.tail) {
		return nil
	}
	n, err := w.file.Write(w.tail[w.sent:])
	w.sent += n
	w.written += int64(n)
	return err
}

// sync makes the tail durable and forgets it.
func (w *writer) sync() error {
	if err := w.flush(); err != nil {
		return err
	}
	w.syncAt = time.Time{}
	if len(w.tail) == 0 {
		return nil
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	w.synced = w.written
	w.log.count(len(w.lines), len(w.tail), w.path, w.synced)
	w.durable.copyFrom(&w.chain)
	w.dropTail()
	return nil
}

func (w *writer) dropTail() {
	w.tail, w.lines, w.sent = w.tail[:0], w.lines[:0], 0
}
