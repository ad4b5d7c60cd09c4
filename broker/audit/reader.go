package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// lineReader splits a segment into lines within bounded memory. Whoever wrote the file is not trusted.
type lineReader struct {
	r   *bufio.Reader
	off int64 // of the next line
	no  int64 // of the line returned last, from 1
}

// rawLine is one line without its LF, valid until the next call.
type rawLine struct {
	text []byte
	off  int64 // of its first byte
	no   int64
	size int64 // bytes with LF
	torn bool  // the file ends without an LF
	long bool  // longer than any line of ours: text is its beginning
}

// newLineReader reads r, whose first byte is at offset off of the file.
func newLineReader(r io.Reader, off int64) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, maxLine+1<<10), off: off}
}

// next returns io.EOF after the last line.
func (lr *lineReader) next() (rawLine, error) {
	text, err := lr.r.ReadSlice('\n')
	l := rawLine{text: text, off: lr.off, no: lr.no + 1, size: int64(len(text))}
	switch {
	case err == io.EOF && len(text) == 0:
		return l, io.EOF
	case err == io.EOF:
		l.torn = true
	case err == bufio.ErrBufferFull:
		l.long = true
		l.text = bytes.Clone(text)
		if err := lr.skip(&l); err != nil {
			return l, err
		}
	case err != nil:
		return l, err
	default:
		l.text = text[:len(text)-1]
	}
	lr.off += l.size
	lr.no++
	return l, nil
}

// skip reads to the end of an overlong line.
func (lr *lineReader) skip(l *rawLine) error {
	for {
		text, err := lr.r.ReadSlice('\n')
		l.size += int64(len(text))
		switch {
		case err == io.EOF:
			l.torn = true
			return nil
		case err == nil:
			return nil
		case err != bufio.ErrBufferFull:
			return err
		}
	}
}

// head is what every line starts with. The slices point into the line.
type head struct {
	seq   int64
	prev  []byte // hex, not checked
	time  []byte // as written: timeLayout
	node  []byte // as written, escapes and all
	event []byte
	rest  []byte // behind event: starts with a comma or the closing brace
}

const (
	headStart = `{"v":1,"seq":`
	headPrev  = `,"prev":"`
	headTime  = `","time":"`
	headNode  = `","node":"`
	headEvent = `","event":"`
)

// before is the hash of the line before; zero when prev is not hex, which no line hashes to.
func (h *head) before() (p hash) {
	if _, err := hex.Decode(p[:], h.prev); err != nil {
		return hash{}
	}
	return p
}

// parseHead reads the fixed beginning of a line of version 1. It reports false for anything else.
func parseHead(text []byte) (h head, ok bool) {
	rest, ok := bytes.CutPrefix(text, []byte(headStart))
	if !ok {
		return h, false
	}
	n := 0
	for n < len(rest) && n < 19 && rest[n]-'0' <= 9 {
		h.seq = h.seq*10 + int64(rest[n]-'0')
		n++
	}
	if n == 0 || rest[0] == '0' || h.seq < 0 {
		return h, false
	}
	rest, ok = bytes.CutPrefix(rest[n:], []byte(headPrev))
	if !ok || len(rest) < 2*len(hash{}) {
		return h, false
	}
	h.prev, rest = rest[:2*len(hash{})], rest[2*len(hash{}):]
	if h.time, rest, ok = quoted(rest, headTime); !ok {
		return h, false
	}
	if h.node, rest, ok = quoted(rest, headNode); !ok {
		return h, false
	}
	if h.event, rest, ok = quoted(rest, headEvent); !ok {
		return h, false
	}
	h.rest = rest[1:]
	return h, len(h.rest) > 0 && h.rest[len(h.rest)-1] == '}'
}

// quoted cuts prefix off text, and then the inside of a JSON string up to its closing quote, which
// stays.
func quoted(text []byte, prefix string) (inside, rest []byte, ok bool) {
	text, ok = bytes.CutPrefix(text, []byte(prefix))
	if !ok {
		return nil, nil, false
	}
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return text[:i], text[i:], true
		}
	}
	return nil, nil, false
}

// readCheckpoint decodes the group of a checkpoint's line.
func readCheckpoint(text []byte) (checkpoint, error) {
	var l struct {
		Checkpoint *struct {
			Cause       Cause
			Size        int64
			Closed      bool
			File        string
			From, Bytes int64
			Torn        string
			SHA256      string
			Edge        []tlog.Hash
			Note        string
		}
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return checkpoint{}, err
	}
	g := l.Checkpoint
	if g == nil || g.Size < 0 || g.From < 0 || g.Bytes < 0 {
		return checkpoint{}, errors.New("not a checkpoint")
	}
	return checkpoint{
		cause: g.Cause, size: g.Size, closed: g.Closed, note: g.Note, edge: g.Edge,
		file: g.File, from: g.From, bytes: g.Bytes, torn: g.Torn, sha256: g.SHA256,
	}, nil
}

// segment is a file of a stream.
type segment struct {
	path  string
	first int64 // seq its name promises
}

func (s segment) base() string { return filepath.Base(s.path) }

// stream is what a directory holds of one process.
type stream struct {
	name     string
	segments []segment // by first seq
}

// listStreams finds the streams in dir, oldest start first.
func listStreams(dir string) ([]stream, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	byName := map[string]*stream{}
	for _, e := range entries {
		name, first, ok := parseSegment(e.Name())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		if byName[name] == nil {
			byName[name] = &stream{name: name}
		}
		s := byName[name]
		s.segments = append(s.segments, segment{path: filepath.Join(dir, e.Name()), first: first})
	}
	var all []stream
	for _, s := range byName {
		slices.SortFunc(s.segments, func(a, b segment) int { return cmp.Compare(a.first, b.first) })
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b stream) int {
		return strings.Compare(startOf(a.name)+a.name, startOf(b.name)+b.name)
	})
	return all, nil
}

// HoldsRecord reports whether there is a file of ours in dir, empty or not.
func HoldsRecord(dir string) (bool, error) {
	streams, err := listStreams(dir)
	return len(streams) > 0, err
}

// startOf is the part of a stream's name that sorts by time.
func startOf(name string) string { return name[len(name)-len(startLayout):] }
