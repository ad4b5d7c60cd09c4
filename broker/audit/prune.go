package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// PruneConfig says what to delete.
type PruneConfig struct {
	Directory     string
	Before        time.Time // segments whose last line is older go
	CheckpointKey string    // path of the signing key; DIRECTORY/audit.key
	DryRun        bool      // only say what would go
	EvenUncopied  bool      // also what a sink has not copied yet
}

// Pruned is the head of a stream that was deleted.
type Pruned struct {
	Stream string
	Seq    int64     // of the last line deleted
	Time   time.Time // of that line
	Files  []string
	Whole  bool // nothing of the stream is left
}

// ErrTampered is returned by Prune when verify has something bad to say: deleting would hide it.
var ErrTampered = errors.New("the record was changed: nothing is deleted")

// ErrUncopied is returned by Prune when a sink has not copied what would go.
var ErrUncopied = errors.New("nothing is deleted")

// Prune verifies the directory, writes a signed record of what it is about to delete into a stream of
// its own, and deletes whole segments whose lines are all older than Before. The segment that a live
// process writes stays, and so does a record of an earlier prune that verify still needs.
func Prune(ctx context.Context, cfg PruneConfig) ([]Pruned, error) {
	if cfg.CheckpointKey == "" {
		cfg.CheckpointKey = filepath.Join(cfg.Directory, keyFile)
	}
	text, err := readSecret(cfg.CheckpointKey)
	if err != nil {
		return nil, fmt.Errorf("checkpoint key: %w", err)
	}
	signer, err := note.NewSigner(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("checkpoint key %s: %w", cfg.CheckpointKey, err)
	}
	known, err := LoadKeys(filepath.Join(cfg.Directory, vkeyFile))
	if err != nil {
		return nil, err
	}
	p := &pruner{cfg: cfg, signer: signer, known: known}
	if err := p.plan(); err != nil || len(p.heads) == 0 {
		return p.done, err
	}
	if err := p.uncopied(); err != nil || cfg.DryRun {
		return p.done, err
	}
	if err := p.record(ctx); err != nil {
		return nil, err
	}
	return p.done, p.remove()
}

// pruner is one run.
type pruner struct {
	cfg    PruneConfig
	signer note.Signer
	known  note.Verifiers
	heads  []pruned // to be recorded
	done   []Pruned
}

// plan decides what goes.
func (p *pruner) plan() error {
	run := &verification{cfg: VerifyConfig{Directory: p.cfg.Directory, Keys: p.known}}
	streams, err := listStreams(p.cfg.Directory)
	if err != nil {
		return err
	}
	for _, s := range streams {
		if err := run.stream(s); err != nil {
			return err
		}
	}
	for _, r := range run.conclude() {
		if !r.OK() {
			return fmt.Errorf("%w: %s", ErrTampered, r.firstBad())
		}
	}
	for i, s := range streams {
		if err := p.head(s, run.walks[i]); err != nil {
			return err
		}
	}
	p.carry(streams, run)
	return nil
}

// uncopied says which sink has not copied what would go, and what to do about it.
func (p *pruner) uncopied() error {
	if p.cfg.EvenUncopied {
		return nil
	}
	names, err := sinks(p.cfg.Directory)
	if err != nil {
		return err
	}
	for _, name := range names {
		c, err := LoadCursor(p.cfg.Directory, name)
		if err != nil {
			return err
		}
		for _, d := range p.done {
			if err := p.behind(name, &c, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// behind is an error when the sink has not copied all of d.
func (p *pruner) behind(name string, c *Cursor, d Pruned) error {
	for _, base := range d.Files {
		st, err := os.Stat(filepath.Join(p.cfg.Directory, base))
		if err != nil {
			return err
		}
		if c.copied(d.Stream, base, st.Size()) {
			continue
		}
		at := "is nowhere in this stream"
		if pos := c.Streams[d.Stream]; pos.File != "" {
			at = fmt.Sprintf("is at %s, byte %d", pos.File, pos.Offset)
		}
		return fmt.Errorf("%w: sink %q has not copied %s (%s %s): wait until it has; if there is no such sink any more, remove %s",
			ErrUncopied, name, base, filepath.Base(CursorPath(p.cfg.Directory, name)), at,
			filepath.Join(p.cfg.Directory, sinkPrefix+name+".*"))
	}
	return nil
}

// firstBad is the first finding that is tampering.
func (r *StreamReport) firstBad() Finding {
	for _, f := range r.Findings {
		if f.Kind.Bad() {
			return f
		}
	}
	return Finding{}
}

// head decides how many leading segments of s go.
func (p *pruner) head(s stream, w *walk) error {
	n, last := 0, time.Time{}
	for i := range s.segments {
		end, ok := p.endOf(s, i, w)
		if !ok || !end.Before(p.cfg.Before) {
			break
		}
		n, last = i+1, end
	}
	if n == 0 {
		return nil
	}
	h := pruned{Stream: s.name, Time: last.Truncate(time.Second), Files: n}
	root := w.edge.root()
	if h.Seq = w.last.seq; n < len(s.segments) {
		t, err := p.treeBefore(s.segments[n])
		if err != nil {
			return err
		}
		h.Seq, root = t.size, t.root
	}
	signed, err := signTree(s.name, h.Seq, root, "", p.signer)
	if err != nil {
		return err
	}
	h.Note = signed
	p.heads = append(p.heads, h)
	d := Pruned{Stream: s.name, Seq: h.Seq, Time: h.Time, Whole: n == len(s.segments)}
	for _, seg := range s.segments[:n] {
		d.Files = append(d.Files, seg.base())
	}
	p.done = append(p.done, d)
	return nil
}

// endOf is the time that no line of segment i is after, when it is known to be finished.
func (p *pruner) endOf(s stream, i int, w *walk) (time.Time, bool) {
	if i+1 < len(s.segments) {
		return firstTime(s.segments[i+1].path)
	}
	text, err := lastLine(s.segments[i].path)
	if err != nil || text == nil || !w.closed {
		return time.Time{}, false
	}
	h, _ := parseHead(text)
	t, err := time.Parse(timeLayout, string(h.time))
	return t, err == nil
}

// treeBefore is the tree that the first line of seg signs.
func (p *pruner) treeBefore(seg segment) (tree, error) {
	f, err := os.Open(seg.path)
	if err != nil {
		return tree{}, err
	}
	defer f.Close()
	l, err := newLineReader(f, 0).next()
	if err != nil {
		return tree{}, err
	}
	_, t, err := openCheckpoint(l.text, p.known)
	return t, err
}

// carry writes anew what an earlier prune recorded of a stream that is still there, when the record
// itself goes.
func (p *pruner) carry(streams []stream, run *verification) {
	fresh, going := map[string]bool{}, map[string]int64{}
	for i, d := range p.done {
		fresh[p.heads[i].Stream] = true
		going[d.Stream] = d.Seq
	}
	for _, old := range run.pruned {
		there := false
		for _, s := range streams {
			there = there || s.name == old.Stream
		}
		if there && !fresh[old.Stream] && old.seq <= going[old.holder] {
			fresh[old.Stream] = true
			p.heads = append(p.heads, old)
		}
	}
}

// record writes the heads into a stream of our own, durable and signed.
func (p *pruner) record(ctx context.Context) error {
	node := strings.TrimPrefix(p.signer.Name(), originPrefix)
	l, err := Open(Config{Directory: p.cfg.Directory, Node: node, CheckpointKey: p.cfg.CheckpointKey})
	if err != nil {
		return err
	}
	for i := range p.heads {
		if err := l.AppendDurable(ctx, &Record{Event: prunedEvent, pruned: &p.heads[i]}); err != nil {
			l.Close()
			return err
		}
	}
	return l.Close()
}

// remove deletes the segments, oldest first, and what recoveries set aside from them.
func (p *pruner) remove() error {
	for _, d := range p.done {
		for _, base := range d.Files {
			path := filepath.Join(p.cfg.Directory, base)
			torn := strings.TrimSuffix(path, segmentSuffix) + tornSuffix
			// In this order: what was set aside is missed as long as its segment is there.
			if err := os.Remove(path); err != nil {
				return err
			}
			if err := os.Remove(torn); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return osFiles{}.SyncDir(p.cfg.Directory)
}
