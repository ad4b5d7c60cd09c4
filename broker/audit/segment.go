package audit

import (
	"os"
	"path/filepath"
	"time"
)

// openSegment creates the segment that the chain's next line starts.
func (w *writer) openSegment() error {
	if w.debris != "" {
		if err := os.Remove(w.debris); err != nil && !os.IsNotExist(err) {
			return err
		}
		w.debris = ""
	}
	dir := w.log.cfg.Directory
	path := filepath.Join(dir, segmentName(w.stream, w.chain.next()))
	f, err := w.log.cfg.Files.Create(path)
	if err != nil {
		return err
	}
	w.file, w.path, w.opened = f, path, time.Now()
	w.written, w.synced, w.segment, w.records = 0, 0, 0, 0
	if err := w.log.cfg.Files.SyncDir(dir); err != nil {
		w.abandon()
		return err
	}
	return nil
}

// rotate closes the segment and opens the next, which starts with the tree signed.
func (w *writer) rotate() error {
	if err := w.closeSegment(); err != nil {
		return err
	}
	if err := w.openSegment(); err != nil {
		return err
	}
	w.addCheckpoint(&checkpoint{cause: CauseRotate, edge: w.chain.edge.hashes})
	return nil
}

// closeSegment makes the segment durable, read-only and closed.
func (w *writer) closeSegment() error {
	if err := w.sync(); err != nil {
		return err
	}
	f := w.file
	w.file = nil
	if err := os.Chmod(w.path, 0o400); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// abandon gives the segment up: cut to what is durable and closed, or removed when that is nothing. It
// is best effort, since the disk just failed: the recovery checkpoint says what counts.
func (w *writer) abandon() {
	f := w.file
	w.file = nil
	if w.synced == 0 {
		f.Close()
		if err := os.Remove(w.path); err != nil {
			w.debris = w.path
		}
		return
	}
	w.failed = &gap{path: w.path, from: w.synced, bytes: w.written - w.synced}
	f.Truncate(w.synced)
	os.Chmod(w.path, 0o400)
	f.Close()
}

// fail takes the writer back to its last durable line. Lines that nobody waits for are kept, to be
// chained anew when the disk works again.
func (w *writer) fail(err error) {
	if w.file != nil {
		w.abandon()
	}
	rest := w.backlog
	w.backlog = nil
	for _, t := range w.lines {
		if t.keep {
			w.saveBody(w.tail[t.body:t.end], true)
		} else {
			w.lost += t.lost
		}
	}
	w.backlog = append(w.backlog, rest...)
	w.dropTail()
	w.chain.copyFrom(&w.durable)
	w.signed = w.chain.edge.size
	w.syncAt, w.checkpointAt, w.drainAt = time.Time{}, time.Time{}, time.Time{}
	w.retryAt = time.Now().Add(retryEvery)
	w.log.stuck(err)
}

// saveBody keeps a line's body for the next segment, when the line is one to keep.
func (w *writer) saveBody(body []byte, keep bool) {
	if keep {
		w.backlog = append(w.backlog, append([]byte(nil), body...))
	}
}

// keep encodes entries of what was taken that the failing disk left unwritten.
func (w *writer) keep(left []entry) {
	for i := range left {
		if !left[i].waited {
			w.saveBody(w.body(w.taken.record(&left[i], &w.one)), true)
			w.lost = 0
		}
	}
}

// resume tries a new segment: a recovery checkpoint that names what was given up, then the backlog.
func (w *writer) resume() bool {
	err := w.openSegment()
	if err == nil {
		c := &checkpoint{cause: CauseRecovery, edge: w.chain.edge.hashes}
		if g := w.failed; g != nil {
			c.file, c.from, c.bytes = filepath.Base(g.path), g.from, g.bytes
		}
		w.addCheckpoint(c)
		err = w.refill()
	}
	if err != nil {
		w.fail(err)
		return false
	}
	w.failed, w.retryAt = nil, time.Time{}
	w.drainAt = time.Now()
	w.log.mended()
	return true
}

// refill writes the backlog.
func (w *writer) refill() error {
	backlog := w.backlog
	w.backlog = nil
	for i, body := range backlog {
		if err := w.add(body, true); err != nil {
			w.backlog = append(w.backlog, backlog[i+1:]...)
			return err
		}
	}
	return w.sync()
}

// finish writes what is queued, signs the end and gives up the lock.
func (w *writer) finish() error {
	err := w.signOff()
	if lerr := w.log.lock.release(); err == nil {
		err = lerr
	}
	return err
}

func (w *writer) signOff() error {
	if w.failing() && !w.resume() {
		return w.log.Healthy()
	}
	if !w.drain() {
		return w.log.Healthy()
	}
	err := w.unfold(time.Now().Add(time.Hour)) // their second will not end for us
	if err == nil {
		err = w.checkpoint(CauseShutdown)
	}
	if err == nil {
		err = w.closeSegment()
	}
	if err != nil {
		w.fail(err)
		return &WriteError{err}
	}
	return nil
}
