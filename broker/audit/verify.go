package audit

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Kind is what verify found.
type Kind string

// The kinds. The first group is what an honest directory may hold, the second is tampering.
const (
	FoundOpen      Kind = "open"      // no closing checkpoint: the process lives, or was killed
	FoundTorn      Kind = "torn"      // half a line at the end
	FoundRecovered Kind = "recovered" // a torn end that was set aside
	FoundPruned    Kind = "pruned"    // the head was deleted by audit prune

	FoundChanged   Kind = "changed"
	FoundInserted  Kind = "inserted"
	FoundOrder     Kind = "order"
	FoundMissing   Kind = "missing"
	FoundTruncated Kind = "truncated"
	FoundFork      Kind = "fork"
	FoundSignature Kind = "signature"
)

// Bad reports whether k means that somebody changed the record.
func (k Kind) Bad() bool {
	switch k {
	case FoundOpen, FoundTorn, FoundRecovered, FoundPruned:
		return false
	}
	return true
}

// Finding is one thing verify has to say, with the place it shows.
type Finding struct {
	File string
	Line int64 // from 1; 0: the whole file
	Kind Kind
	Text string
}

func (f Finding) String() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s: %s", f.File, f.Kind, f.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Kind, f.Text)
}

// StreamReport is what verify says of one stream.
type StreamReport struct {
	Name        string
	First, Last int64 // seq; 0 when the stream has no line
	Files       int
	Checkpoints int
	Signed      int64 // lines that checkpoints cover
	Findings    []Finding
}

// OK reports whether nothing bad was found.
func (r *StreamReport) OK() bool {
	for _, f := range r.Findings {
		if f.Kind.Bad() {
			return false
		}
	}
	return true
}

// String is the line that ends a stream in which nothing bad was found.
func (r *StreamReport) String() string {
	return fmt.Sprintf("%s: ok %d-%d, %d files, %d checkpoints, signed to %d",
		r.Name, r.First, r.Last, r.Files, r.Checkpoints, r.Signed)
}

// VerifyConfig says what Verify reads and against what.
type VerifyConfig struct {
	Directory string
	Keys      note.Verifiers // LoadKeys of a copy kept elsewhere
	Kept      []string       // signed notes kept elsewhere
	Progress  func(bytes int64)
}

// maxFindings bounds what is kept of one stream.
const maxFindings = 10_000

// Verify reads every stream of the directory and reports what it found, oldest stream first. Its
// error is about reading or about the kept checkpoints, never about what the files hold.
func Verify(cfg VerifyConfig) ([]*StreamReport, error) {
	streams, err := listStreams(cfg.Directory)
	if err != nil {
		return nil, err
	}
	kept, err := openKept(cfg.Kept, cfg.Keys)
	if err != nil {
		return nil, err
	}
	run := &verification{cfg: cfg, kept: kept}
	for _, s := range streams {
		if err := run.stream(s); err != nil {
			return nil, err
		}
	}
	return run.conclude(), nil
}

// ParseKept reads checkpoints kept elsewhere: one signed note, or lines of a record, of which those of
// checkpoints count.
func ParseKept(text string) ([]string, error) {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return []string{text}, nil
	}
	var notes []string
	for l := range strings.Lines(text) {
		h, ok := parseHead([]byte(strings.TrimRight(l, "\r\n")))
		if !ok || string(h.event) != string(checkpointEvent) {
			continue
		}
		c, err := readCheckpoint([]byte(l))
		if err != nil {
			return nil, err
		}
		notes = append(notes, c.note)
	}
	if len(notes) == 0 {
		return nil, errors.New("no checkpoint in it")
	}
	return notes, nil
}

// Size is how many bytes the segments in dir have, for a progress bar.
func Size(dir string) (int64, error) {
	streams, err := listStreams(dir)
	var n int64
	for _, s := range streams {
		for _, seg := range s.segments {
			if st, err := os.Stat(seg.path); err == nil {
				n += st.Size()
			}
		}
	}
	return n, err
}

// openKept reads the kept checkpoints, by stream, the smallest first.
func openKept(notes []string, known note.Verifiers) (map[string][]tree, error) {
	kept := map[string][]tree{}
	for _, text := range notes {
		t, err := openNote(text, known)
		if err != nil {
			return nil, fmt.Errorf("kept checkpoint: %w", err)
		}
		kept[t.stream] = append(kept[t.stream], t)
	}
	for _, trees := range kept {
		slices.SortStableFunc(trees, func(a, b tree) int { return cmp.Compare(a.size, b.size) })
	}
	return kept, nil
}

// verification is one run over all streams.
type verification struct {
	cfg    VerifyConfig
	kept   map[string][]tree
	walks  []*walk
	pruned []pruned // of every stream, with a good signature
}

// stream walks one.
func (v *verification) stream(s stream) error {
	w := &walk{run: v, name: s.name, kept: v.kept[s.name], report: &StreamReport{Name: s.name, Files: len(s.segments)}}
	w.last.at.file = s.segments[0].base() // should it hold no record
	v.walks = append(v.walks, w)
	for i, seg := range s.segments {
		limit := int64(-1)
		if i+1 < len(s.segments) {
			limit = givenUp(seg, s.segments[i+1])
		}
		if err := w.file(seg, limit, i+1 == len(s.segments)); err != nil {
			return err
		}
	}
	w.finish()
	return nil
}

// givenUp is the offset in seg from which on next's recovery checkpoint says that nothing counts, or -1.
func givenUp(seg, next segment) int64 {
	f, err := os.Open(next.path)
	if err != nil {
		return -1
	}
	defer f.Close()
	l, err := newLineReader(f, 0).next()
	if err != nil || l.torn || l.long {
		return -1
	}
	c, err := readCheckpoint(l.text)
	if err != nil || c.cause != CauseRecovery || c.file != seg.base() {
		return -1
	}
	return c.from
}

// conclude says what takes more than one stream to know.
func (v *verification) conclude() []*StreamReport {
	var all []*StreamReport
	seen := map[string]bool{}
	for _, w := range v.walks {
		w.missing(v.pruned)
		w.torn(v.cfg.Directory)
		slices.SortStableFunc(w.report.Findings, func(a, b Finding) int {
			return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
		})
		seen[w.name] = true
		all = append(all, w.report)
	}
	for name, trees := range v.kept {
		if !seen[name] {
			all = append(all, v.absent(name, trees))
		}
	}
	return all
}

// absent reports on a stream of which only kept checkpoints are left.
func (v *verification) absent(name string, trees []tree) *StreamReport {
	r := &StreamReport{Name: name}
	for _, t := range trees[max(0, len(trees)-maxFindings):] {
		f := Finding{File: name, Kind: FoundTruncated, Text: fmt.Sprintf("ends at 0, checkpoint has %d", t.size)}
		for _, p := range v.pruned {
			if p.Stream == name && p.Seq >= t.size {
				f.Kind, f.Text = FoundPruned, p.String()
			}
		}
		r.Findings = append(r.Findings, f)
	}
	return r
}

// file walks one segment, up to offset limit unless that is negative.
func (w *walk) file(seg segment, limit int64, last bool) error {
	f, err := os.Open(seg.path)
	if err != nil {
		return err
	}
	defer f.Close()
	w.seg = seg
	in := newLineReader(&metered{upTo(f, limit), w.run.cfg.Progress}, 0)
	for {
		l, err := in.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", seg.path, err)
		}
		if h, ok := parseHead(l.text); ok && !l.torn && !l.long {
			w.line(h, l)
			continue
		}
		if err := w.notARecord(l, in, last); err != nil {
			return fmt.Errorf("read %s: %w", seg.path, err)
		}
	}
}

// upTo is r up to offset limit, or all of it when that is negative.
func upTo(r io.Reader, limit int64) io.Reader {
	if limit < 0 {
		return r
	}
	return io.LimitReader(r, limit)
}

// metered reports the bytes read to a progress bar.
type metered struct {
	io.Reader
	progress func(int64)
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if m.progress != nil {
		m.progress(int64(n))
	}
	return n, err
}

// notARecord judges bytes that are no line of ours: a torn end when nothing but such bytes follow in
// the stream's last segment, else a change.
func (w *walk) notARecord(l rawLine, in *lineReader, last bool) error {
	at, bytes := w.place(l), l.size
	for {
		next, err := in.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if h, ok := parseHead(next.text); ok && !next.torn && !next.long {
			w.add(at, FoundChanged, "%d bytes after seq %d are no record", bytes, w.last.seq)
			w.tainted, w.broken = true, true
			w.line(h, next)
			return nil
		}
		bytes += next.size
	}
	if last && !w.closed {
		w.add(at, FoundTorn, "%d bytes after %d", bytes, w.last.seq)
		return nil
	}
	w.add(at, FoundChanged, "%d bytes after seq %d are no record", bytes, w.last.seq)
	w.tainted, w.broken = true, true
	return nil
}
