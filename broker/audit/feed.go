package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Position is a place in a stream: everything before Offset of File, and of the files before it, was
// read.
type Position struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
}

// Entry is a line of a feed. Its memory is the feed's: valid until the function it was given to returns.
type Entry struct {
	Stream string
	Seq    int64
	Event  string
	Node   string // as written, escapes and all
	Time   string // as written
	Text   []byte // without LF
	After  Position
}

// Feed reads the streams of a directory as they grow, from positions that can be kept. It is for one
// goroutine.
type Feed struct {
	dir       string
	positions map[string]Position // by stream
	durable   func() (file string, offset int64)
	settled   bool
}

// NewFeed starts at the positions given, and at the beginning of every other stream.
//
// A settled feed gives only lines that no failure can take back: of a stream that is open those
// before its last checkpoint, and of the one whose Log is given those that are durable. Others are
// given as soon as they are in the file.
func NewFeed(dir string, positions map[string]Position, settled bool, own *Log) *Feed {
	f := &Feed{dir: dir, positions: map[string]Position{}, settled: settled}
	for stream, p := range positions {
		f.positions[stream] = p
	}
	if own != nil {
		f.durable = own.Durable
	}
	return f
}

// Positions returns where the feed stands, without streams that are gone.
func (f *Feed) Positions() map[string]Position {
	all := map[string]Position{}
	for stream, p := range f.positions {
		all[stream] = p
	}
	return all
}

// Read gives every line there is now to visit, stream by stream, and returns how many there were.
// When visit fails its error is returned, and the line is given again by the next Read.
func (f *Feed) Read(ctx context.Context, visit func(*Entry) error) (int, error) {
	streams, err := listStreams(f.dir)
	if err != nil {
		return 0, err
	}
	f.forget(streams)
	n := 0
	for _, s := range streams {
		for i, seg := range s.segments {
			if seg.base() < f.positions[s.name].File {
				continue
			}
			k, err := f.segment(ctx, s, i, visit)
			n += k
			if errors.Is(err, fs.ErrNotExist) {
				continue // pruned meanwhile
			}
			if err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// forget drops the positions of streams that were pruned.
func (f *Feed) forget(streams []stream) {
	there := map[string]bool{}
	for _, s := range streams {
		there[s.name] = true
	}
	for name := range f.positions {
		if !there[name] {
			delete(f.positions, name)
		}
	}
}

// segment reads what is new in segment i of s.
func (f *Feed) segment(ctx context.Context, s stream, i int, visit func(*Entry) error) (int, error) {
	seg := s.segments[i]
	from := int64(0)
	if p := f.positions[s.name]; p.File == seg.base() {
		from = p.Offset
	}
	limit, held, err := f.limit(s, i)
	if err != nil || limit <= from {
		return 0, err
	}
	file, err := os.Open(seg.path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	in := newLineReader(io.NewSectionReader(file, from, limit-from), from)
	return f.lines(ctx, s.name, seg, in, held, visit)
}

// limit is up to where segment i of s may be read, and whether lines are held back until a checkpoint
// follows them.
func (f *Feed) limit(s stream, i int) (limit int64, held bool, err error) {
	seg := s.segments[i]
	st, err := os.Stat(seg.path)
	if err != nil {
		return 0, false, err
	}
	limit = st.Size()
	if i+1 < len(s.segments) {
		if cut := givenUp(seg, s.segments[i+1]); cut >= 0 {
			limit = min(limit, cut)
		}
		return limit, false, nil
	}
	if !f.settled {
		return limit, false, nil
	}
	if f.durable != nil {
		file, offset := f.durable()
		switch name, _, _ := parseSegment(file); {
		case file == seg.base():
			return min(limit, offset), false, nil
		case name == s.name:
			return 0, false, nil // made since, and nothing in it is durable
		}
	}
	closed, err := endsClosed(seg.path)
	return limit, !closed, err
}

// lines gives the lines of in to visit and moves the position behind each. Held lines wait for the
// checkpoint that follows them: before it was written, they were made durable.
func (f *Feed) lines(ctx context.Context, stream string, seg segment, in *lineReader, held bool, visit func(*Entry) error) (int, error) {
	n := 0
	var waiting []Entry
	give := func(e *Entry) error {
		if err := visit(e); err != nil {
			return err
		}
		n++
		f.positions[stream] = e.After
		return nil
	}
	for ctx.Err() == nil {
		l, err := in.next()
		if err == io.EOF || err == nil && l.torn {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("read %s: %w", seg.path, err)
		}
		h, ok := parseHead(l.text)
		if !ok || l.long {
			continue // verify's business
		}
		e := Entry{
			Stream: stream, Seq: h.seq, Event: string(h.event), Node: string(h.node), Time: string(h.time), Text: l.text,
			After: Position{File: filepath.Base(seg.path), Offset: l.off + l.size},
		}
		if held && e.Event != string(checkpointEvent) {
			e.Text = append([]byte(nil), l.text...)
			waiting = append(waiting, e)
			continue
		}
		for i := range waiting {
			if err := give(&waiting[i]); err != nil {
				return n, err
			}
		}
		waiting = waiting[:0]
		if err := give(&e); err != nil {
			return n, err
		}
	}
	return n, context.Cause(ctx)
}
