package audit

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// walk follows one stream through its files, line by line, and says where it does not hold together.
// Each line is held against the one before it by `prev`, and against the signed trees by its leaf.
type walk struct {
	run    *verification
	name   string
	kept   []tree // by size, those of last and above
	report *StreamReport
	seg    segment
	aside  map[string]bool // .torn files that a recovery names

	last    seen  // the line with the highest seq so far
	rival   *seen // another line with last's seq: which is the right one, the next line tells
	edge    edge  // of the lines up to last, when not tainted
	begin   int64 // first seq there is
	root    tlog.Hash
	gaps    []span // ascending, at most maxFindings
	stray   int64  // seq of the line read last, when it was not above the one before it
	tainted bool   // a finding explains why roots differ; ends where a segment brings its own edge
	broken  bool   // the next prev cannot be checked
	closed  bool   // the last line was a closing checkpoint
}

// seen is a line that was read.
type seen struct {
	at   place
	seq  int64
	hash hash
}

// place is where a line stands.
type place struct {
	file string
	no   int64
}

// span is a range of seq not seen yet, and the line that made it one.
type span struct {
	from, to int64
	at       place
}

func (s span) String() string {
	if s.from == s.to {
		return fmt.Sprintf("seq %d", s.from)
	}
	return fmt.Sprintf("seq %d-%d", s.from, s.to)
}

func (w *walk) place(l rawLine) place { return place{w.seg.base(), l.no} }

// add reports a finding. Beyond maxFindings they are only dropped: the stream is bad by then.
func (w *walk) add(at place, k Kind, format string, args ...any) {
	if len(w.report.Findings) < maxFindings {
		w.report.Findings = append(w.report.Findings, Finding{at.file, at.no, k, fmt.Sprintf(format, args...)})
	}
}

// line takes in the next whole record.
func (w *walk) line(h head, l rawLine) {
	at := w.place(l)
	now := seen{at: at, seq: h.seq, hash: sha256.Sum256(l.text)}
	if l.no == 1 && h.seq != w.seg.first {
		w.add(at, FoundOrder, "the file is named for seq %d, it starts at %d", w.seg.first, h.seq)
	}
	if w.closed {
		w.add(at, FoundInserted, "seq %d after the closing checkpoint", h.seq)
		w.closed = false
	}
	switch {
	case w.begin == 0:
		w.first(h, now)
	case h.seq <= w.last.seq:
		w.again(h, now)
		return
	case h.seq > w.last.seq+1:
		w.gap(len(w.gaps), span{w.last.seq + 1, h.seq - 1, at})
		w.settle(h.before(), false)
		w.tainted = true
	default:
		w.settle(h.before(), true)
	}
	w.stray, w.broken = 0, false
	if string(h.event) == string(checkpointEvent) {
		w.checkpoint(h, now, l)
	}
	if string(h.event) == string(prunedEvent) {
		w.prunedRecord(now, l.text)
	}
	w.last = now
	w.edge.add(tlog.RecordHash(l.text))
	w.report.Last = h.seq
	w.compareKept(at)
}

// first starts the stream. A head that is not there is judged at the end, when every pruned record
// has been seen.
func (w *walk) first(h head, now seen) {
	w.begin, w.report.First = h.seq, h.seq
	w.last = seen{at: now.at, seq: h.seq - 1, hash: h.before()}
	if h.seq > 1 {
		w.gap(0, span{1, h.seq - 1, now.at})
		w.tainted = true // until a checkpoint brings the edge
		return
	}
	if string(h.prev) != (hash{}).String() {
		w.add(now.at, FoundChanged, "prev of seq 1 is not zero")
	}
}

// settle holds the line before against prev, and decides between it and a rival. When seq is not the
// next one, prev says nothing.
func (w *walk) settle(prev hash, follows bool) {
	rival := w.rival
	w.rival = nil
	switch {
	case w.broken:
	case follows && prev == w.last.hash:
		if rival != nil {
			w.add(rival.at, FoundInserted, "seq %d is there twice, this one does not match prev of %d", rival.seq, rival.seq+1)
		}
		return
	case rival != nil:
		w.add(w.last.at, FoundInserted, "seq %d is there twice, this one does not match prev of %d", w.last.seq, w.last.seq+1)
		if !follows || prev == rival.hash {
			return
		}
		fallthrough
	case follows:
		w.add(w.last.at, FoundChanged, "seq %d does not match prev of %d", w.last.seq, w.last.seq+1)
		w.tainted = true
	}
}

// again judges a line whose seq is not above the last: out of order when it fills a gap, else inserted.
// Of a run of such lines only the first is reported.
func (w *walk) again(h head, now seen) {
	w.tainted = true
	gap, run := w.fill(h.seq), w.stray != 0 && h.seq == w.stray+1
	switch {
	case !gap && !run && h.seq == w.last.seq && w.rival == nil:
		rival := w.last
		w.rival, w.last = &rival, now
		return
	case run:
	case gap:
		w.add(now.at, FoundOrder, "seq %d after %d", h.seq, w.lastRead())
	default:
		w.add(now.at, FoundInserted, "seq %d is there twice", h.seq)
	}
	w.stray = h.seq
}

// lastRead is the seq of the line before the one being read.
func (w *walk) lastRead() int64 {
	if w.stray != 0 {
		return w.stray
	}
	return w.last.seq
}

// gap keeps g as gap i. What is missing beyond maxFindings gaps is reported at once: whoever leaves out every
// other line gets neither memory nor time from us.
func (w *walk) gap(i int, g span) {
	if len(w.gaps) < maxFindings {
		w.gaps = slices.Insert(w.gaps, i, g)
		return
	}
	w.add(g.at, FoundMissing, "%s", g)
}

// fill takes seq out of the gaps, and reports whether it was in one.
func (w *walk) fill(seq int64) bool {
	i, _ := slices.BinarySearchFunc(w.gaps, seq, func(g span, seq int64) int { return cmp.Compare(g.to, seq) })
	if i == len(w.gaps) || w.gaps[i].from > seq {
		return false
	}
	g := w.gaps[i]
	w.gaps = slices.Delete(w.gaps, i, i+1)
	if seq < g.to {
		w.gap(i, span{seq + 1, g.to, g.at})
	}
	if seq > g.from {
		w.gap(i, span{g.from, seq - 1, g.at})
	}
	return true
}

// checkpoint holds the tree so far against a signed one.
func (w *walk) checkpoint(h head, now seen, l rawLine) {
	w.report.Checkpoints++
	c, t, err := openCheckpoint(l.text, w.run.cfg.Keys)
	if err != nil || c.closed && !c.closes(h, t) {
		w.add(now.at, FoundSignature, "checkpoint %d", now.seq)
		return
	}
	w.closed = c.closed
	if c.cause == CauseRecovery && c.file != "" {
		w.recovered(now.at, c)
	}
	before := now.seq - 1
	switch {
	case t.stream != w.name:
		w.add(now.at, FoundChanged, "checkpoint %d is of stream %s", now.seq, t.stream)
		return
	case t.size < before:
		w.add(now.at, FoundInserted, "%d lines before seq %d, its checkpoint has %d", before, now.seq, t.size)
		w.tainted = true
		return
	case t.size > before:
		w.add(now.at, FoundMissing, "%d lines before seq %d, its checkpoint has %d", before, now.seq, t.size)
		w.tainted = true
		return
	}
	w.report.Signed = max(w.report.Signed, t.size)
	w.compareRoot(now, l, c, t)
}

// compareRoot checks the root, and where a segment starts takes its edge over: what went wrong in an
// earlier file then does not hide what is wrong in this one.
func (w *walk) compareRoot(now seen, l rawLine, c checkpoint, t tree) {
	if !w.tainted && w.edge.root() != t.root {
		w.add(now.at, FoundChanged, "root at %d differs", t.size)
		w.tainted = true
	}
	if !w.tainted || l.no != 1 {
		return
	}
	if e, ok := c.edgeOf(t); ok {
		w.edge, w.tainted = e, false
		if now.seq == w.begin {
			w.root = t.root
		}
	}
}

// compareKept holds the tree against kept checkpoints of its size.
func (w *walk) compareKept(at place) {
	for len(w.kept) > 0 && w.kept[0].size <= w.last.seq {
		t := w.kept[0]
		if t.size == w.last.seq && !w.tainted && w.edge.root() != t.root {
			w.add(at, FoundFork, "root at %d differs from kept checkpoint", t.size)
		}
		w.kept = w.kept[1:]
	}
}

// finish reports what the end of the stream shows.
func (w *walk) finish() {
	if w.rival != nil {
		w.add(w.last.at, FoundInserted, "seq %d is there twice", w.last.seq)
	}
	for _, t := range w.run.kept[w.name] {
		switch {
		case t.size > w.last.seq:
			w.add(w.last.at, FoundTruncated, "ends at %d, checkpoint has %d", w.last.seq, t.size)
		case !t.closed() || w.closed && w.last.seq == t.size+1:
		case t.size == w.last.seq:
			w.add(w.last.at, FoundTruncated, "ends at %d, checkpoint %d closed it", w.last.seq, t.size+1)
		case w.last.seq == t.size+1:
			w.add(w.last.at, FoundChanged, "seq %d is not the kept checkpoint that closed it", w.last.seq)
		default:
			w.add(w.last.at, FoundInserted, "ends at %d, checkpoint %d closed it", w.last.seq, t.size+1)
		}
	}
	if !w.closed {
		w.add(w.last.at, FoundOpen, "lines after %d cannot be excluded", w.last.seq)
	}
}

// missing reports the gaps nothing filled, but for a head that a pruned record accounts for.
func (w *walk) missing(all []pruned) {
	for _, g := range w.gaps {
		switch p, ok := w.prunedHead(g, all); {
		case ok:
			w.add(g.at, FoundPruned, "%s", p)
		default:
			w.add(g.at, FoundMissing, "%s", g)
		}
	}
}

func (w *walk) prunedHead(g span, all []pruned) (pruned, bool) {
	for _, p := range all {
		// A prune that was interrupted left a part of what it had recorded.
		if g.from == 1 && g.to == w.begin-1 && p.Stream == w.name && (p.Seq > g.to || p.Seq == g.to && p.tree.root == w.root) {
			return p, true
		}
	}
	return pruned{}, false
}

// pruned is the group of a pruned record: the head of a stream that audit prune deleted.
type pruned struct {
	Stream string
	Seq    int64 // the last deleted
	Time   time.Time
	Files  int
	Note   string
	tree   tree

	holder string // stream and seq of the record
	seq    int64
}

func (p pruned) String() string { return fmt.Sprintf("to %d, %s", p.Seq, p.Time.Format(time.DateOnly)) }

// prunedRecord keeps a pruned record whose note is good.
func (w *walk) prunedRecord(now seen, text []byte) {
	p, err := readPruned(text, w.run.cfg)
	if err != nil {
		w.add(now.at, FoundSignature, "pruned record %d", now.seq)
		return
	}
	p.holder, p.seq = w.name, now.seq
	w.run.pruned = append(w.run.pruned, p)
}

func readPruned(text []byte, cfg VerifyConfig) (pruned, error) {
	var l struct{ Pruned pruned }
	if err := json.Unmarshal(text, &l); err != nil {
		return pruned{}, err
	}
	t, err := openNote(l.Pruned.Note, cfg.Keys)
	if err != nil {
		return pruned{}, err
	}
	if t.stream != l.Pruned.Stream || t.size != l.Pruned.Seq {
		return pruned{}, errors.New("the note is of another tree")
	}
	l.Pruned.tree = t
	return l.Pruned, nil
}
