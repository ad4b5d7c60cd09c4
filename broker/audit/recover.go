package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// A process that was killed leaves its stream open: no closing checkpoint, perhaps half a line. The
// next process to start in the directory closes it. Only the last segment is read: it starts with a
// signed tree and its edge. What lies in older segments is for verify to judge.

// BreakError says that a stream was changed before its last checkpoint: not by a crash, which only
// ever loses its end. The broker must not start over it.
type BreakError struct {
	File string
	Line int64
	Text string
}

func (e *BreakError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text) }

// recoverer closes the streams of dead processes.
type recoverer struct {
	cfg    Config
	signer note.Signer
	known  note.Verifiers
}

// recoverStreams closes every open stream in the directory whose process is dead.
func recoverStreams(cfg Config, signer note.Signer) error {
	known, err := LoadKeys(filepath.Join(cfg.Directory, vkeyFile))
	if err != nil {
		return err
	}
	streams, err := listStreams(cfg.Directory)
	if err != nil {
		return err
	}
	r := &recoverer{cfg: cfg, signer: signer, known: known}
	for _, s := range streams {
		if err := r.stream(s); err != nil {
			return err
		}
	}
	return nil
}

// stream recovers one, unless it is closed or alive.
func (r *recoverer) stream(s stream) error {
	last := s.segments[len(s.segments)-1]
	if closed, err := r.endsClosed(s.name, last); closed || err != nil {
		return err
	}
	lock, err := lockStream(r.cfg.Directory, s.name)
	if errors.Is(err, errLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	err = r.locked(s.name)
	if rerr := lock.release(); err == nil {
		err = rerr
	}
	return err
}

// locked recovers the stream, of which only we hold the lock. It lists the files anew: between the
// first look and the lock its process may have gone on, or another may have recovered it.
func (r *recoverer) locked(name string) error {
	streams, err := listStreams(r.cfg.Directory)
	if err != nil {
		return err
	}
	for _, s := range streams {
		if s.name != name {
			continue
		}
		return r.close(s)
	}
	return nil
}

// close ends the stream with a recovery checkpoint, after it set aside what is torn. A last segment
// without one good line was created just before the end: then the one before it is the last.
func (r *recoverer) close(s stream) error {
	mark := &checkpoint{cause: CauseRecovery, closed: true}
	for i := len(s.segments) - 1; ; i-- {
		last := s.segments[i]
		if closed, err := r.endsClosed(s.name, last); closed || err != nil {
			return err
		}
		c, good, err := r.walk(s.name, last)
		if err != nil {
			return err
		}
		if err := r.setAside(last, good, mark); err != nil {
			return err
		}
		if good > 0 || i == 0 {
			return r.write(s.name, c, mark)
		}
	}
}

// walk follows the chain through the last segment. It returns where the chain stands after the last
// good line and the offset behind it.
func (r *recoverer) walk(name string, last segment) (*chain, int64, error) {
	f, err := os.Open(last.path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	c := &chain{}
	in := newLineReader(f, 0)
	for {
		l, err := in.next()
		if err == io.EOF {
			return c, l.off, nil
		}
		if err != nil {
			return nil, 0, err
		}
		fits, err := r.line(name, last, c, l)
		if err != nil {
			return nil, 0, err
		}
		if !fits {
			return c, l.off, r.rest(name, last, c, l, in)
		}
	}
}

// line adds l to c. It reports false for a line that is torn or does not follow.
func (r *recoverer) line(name string, last segment, c *chain, l rawLine) (bool, error) {
	h, ok := parseHead(l.text)
	if l.torn || l.long || !ok {
		return false, nil
	}
	if l.no == 1 && h.seq == last.first {
		if err := r.enter(name, c, h, l.text); err != nil {
			return false, &BreakError{last.base(), l.no, err.Error()}
		}
	}
	if h.seq != c.next() || string(h.prev) != c.prev.String() {
		return false, nil
	}
	if string(h.event) == string(checkpointEvent) {
		mark, t, err := openCheckpoint(l.text, r.known)
		switch {
		case err != nil:
			return false, &BreakError{last.base(), l.no, fmt.Sprintf("signature: checkpoint %d", h.seq)}
		case t.stream != name || t.size != c.edge.size || mark.size != t.size || t.root != c.edge.root():
			return false, &BreakError{last.base(), l.no, fmt.Sprintf("changed: root at %d differs", mark.size)}
		}
	}
	c.add(l.text)
	return true, nil
}

// enter sets c to what the first line of a segment follows.
func (r *recoverer) enter(name string, c *chain, h head, text []byte) error {
	if h.seq == 1 {
		return nil
	}
	mark, t, err := openCheckpoint(text, r.known)
	if err != nil || t.stream != name {
		return fmt.Errorf("signature: checkpoint %d", h.seq)
	}
	e, ok := mark.edgeOf(t)
	if !ok || e.size != h.seq-1 {
		return fmt.Errorf("changed: root at %d differs", mark.size)
	}
	c.prev, c.edge = h.before(), e
	return nil
}

// rest looks behind the first bad line for a signed checkpoint of lines that are not there any more:
// then it was not a crash.
func (r *recoverer) rest(name string, last segment, c *chain, bad rawLine, in *lineReader) error {
	l, err := bad, error(nil)
	for ; err == nil; l, err = in.next() {
		if l.torn || l.long {
			continue
		}
		if _, t, err := openCheckpoint(l.text, r.known); err == nil && t.stream == name && t.size >= c.edge.size {
			return &BreakError{last.base(), bad.no, fmt.Sprintf("changed: seq %d does not follow %d, and a checkpoint of %d is behind it", c.next(), c.edge.size, t.size)}
		}
	}
	if err != io.EOF {
		return err
	}
	return nil
}

// setAside moves what lies behind the good lines of last to its .torn file, and cuts it off. It may
// be repeated after a crash at any point.
func (r *recoverer) setAside(last segment, good int64, mark *checkpoint) error {
	torn := strings.TrimSuffix(last.path, segmentSuffix) + tornSuffix
	st, err := os.Stat(last.path)
	if err != nil {
		return err
	}
	if st.Size() > good {
		if err := copyTail(torn, last.path, good); err != nil {
			return err
		}
		if err := cutFile(last.path, good); err != nil {
			return err
		}
	}
	switch kept, err := os.ReadFile(torn); {
	case err == nil:
		sum := sha256.Sum256(kept)
		mark.file, mark.from, mark.bytes = last.base(), good, int64(len(kept))
		mark.torn, mark.sha256 = filepath.Base(torn), hex.EncodeToString(sum[:])
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if good == 0 {
		return os.Remove(last.path) // a file of that name may start with the recovery checkpoint
	}
	return os.Chmod(last.path, 0o400)
}

// copyTail makes torn hold src from byte `from` on, durable and read-only.
func copyTail(torn, src string, from int64) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := in.Seek(from, io.SeekStart); err != nil {
		return err
	}
	tail, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	if err := os.Remove(torn); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeNew(torn, string(tail), 0o400)
}

// cutFile truncates a dead process's segment, durably.
func cutFile(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	return f.Sync()
}

// write ends the stream with mark in a segment of its own.
func (r *recoverer) write(name string, c *chain, mark *checkpoint) error {
	mark.size, mark.edge = c.edge.size, c.edge.hashes
	signed, err := signTree(name, mark.size, c.edge.root(), mark.claims(), r.signer)
	if err != nil {
		return err
	}
	mark.note = signed
	node, _, _ := parseStream(name)
	var l line
	text := appendHead(nil, c.next(), c.prev)
	text = append(text, checkpointBody(&l, time.Now(), node, mark)...)
	path := filepath.Join(r.cfg.Directory, segmentName(name, c.next()))
	f, err := r.cfg.Files.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(path, 0o400)
	}
	if err == nil {
		err = r.cfg.Files.SyncDir(r.cfg.Directory)
	}
	return err
}

// endsClosed reports whether the last line of the stream's last segment is a closing checkpoint that is
// signed, for the lines before it.
func (r *recoverer) endsClosed(name string, last segment) (bool, error) {
	text, err := lastLine(last.path)
	if err != nil || text == nil {
		return false, err
	}
	h, _ := parseHead(text)
	c, t, err := openCheckpoint(text, r.known)
	return err == nil && c.closed && t.stream == name && t.size == h.seq-1, nil
}

// endsClosed reports whether the last line of the file at path says that it is a closing checkpoint. It
// checks no signature.
func endsClosed(path string) (bool, error) {
	text, err := lastLine(path)
	if err != nil || text == nil {
		return false, err
	}
	h, ok := parseHead(text)
	if !ok || string(h.event) != string(checkpointEvent) {
		return false, nil
	}
	c, err := readCheckpoint(text)
	return err == nil && c.closed, nil
}

// lastLine returns the last line of the file at path without its LF, nil when there is no whole one.
func lastLine(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	tail := make([]byte, min(st.Size(), maxLine+2))
	if _, err := f.ReadAt(tail, st.Size()-int64(len(tail))); err != nil {
		return nil, err
	}
	text, whole := strings.CutSuffix(string(tail), "\n")
	if !whole {
		return nil, nil
	}
	return []byte(text[strings.LastIndexByte(text, '\n')+1:]), nil
}
