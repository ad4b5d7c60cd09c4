package audit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// Match is what a search found: one line, or the start and the end of a statement recorded in two.
// Its memory is the search's: valid until Visit returns.
type Match struct {
	Lines   [][]byte // as they stand in the files, without LF
	Unknown bool     // a start without its end: the outcome is not known

	v       *view
	first   *view // of the start, when it came before v
	session *known
	row     Row // when v is gone
}

// SearchConfig says where to look and for what.
type SearchConfig struct {
	Directory string
	Query     Query
	Joined    bool // give start and end as one Match; else each line when it is read
	Visit     func(*Match) error
	Progress  func(bytes int64)
}

// Search calls Visit for every record that fits, stream by stream, in the order of the files. It does
// not verify. Lines that are none of ours are passed over.
func Search(ctx context.Context, cfg SearchConfig) error {
	m, err := newMatcher(cfg.Query)
	if err != nil {
		return err
	}
	s := &search{cfg: cfg, m: m, sessions: map[string]*known{}, starts: map[stmtKey]*start{}}
	return scan(ctx, cfg.Directory, m, len(m.bySession) > 0, cfg.Progress, s.line, s.end)
}

// scan reads every segment that may hold lines in m's window. sessions says that earlier lines are
// needed too: a session's open record tells whose its statements are.
func scan(ctx context.Context, dir string, m *matcher, sessions bool, progress func(int64), line func(head, []byte) error, end func() error) error {
	streams, err := listStreams(dir)
	if err != nil {
		return err
	}
	for _, s := range streams {
		for i, seg := range s.segments {
			if skip(s, i, m, sessions) {
				meterFile(seg.path, progress)
				continue
			}
			limit := int64(-1)
			if i+1 < len(s.segments) {
				limit = givenUp(seg, s.segments[i+1])
			}
			if err := scanFile(ctx, seg.path, limit, progress, line); err != nil {
				return err
			}
		}
	}
	return end()
}

// slack is how far lines may be out of order in time: a record is written a little after it was made.
const slack = time.Minute

// skip reports whether segment i lies outside the window as a whole, by the time of first lines.
func skip(s stream, i int, m *matcher, sessions bool) bool {
	if m.until != nil {
		if t, ok := firstTime(s.segments[i].path); ok && t.After(m.q.Until.Add(slack)) {
			return true
		}
	}
	if m.since == nil || sessions || i+1 == len(s.segments) {
		return false
	}
	t, ok := firstTime(s.segments[i+1].path)
	return ok && t.Before(m.q.Since.Add(-slack))
}

// firstTime is the time of the first line of the file at path.
func firstTime(path string) (time.Time, bool) {
	f, err := os.Open(path)
	if err != nil {
		return time.Time{}, false
	}
	defer f.Close()
	l, err := newLineReader(f, 0).next()
	h, ok := parseHead(l.text)
	if err != nil || !ok {
		return time.Time{}, false
	}
	t, err := time.Parse(timeLayout, string(h.time))
	return t, err == nil
}

func meterFile(path string, progress func(int64)) {
	if st, err := os.Stat(path); err == nil && progress != nil {
		progress(st.Size())
	}
}

// scanFile calls line for every whole record of a file, up to offset limit unless that is negative.
func scanFile(ctx context.Context, path string, limit int64, progress func(int64), line func(head, []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := newLineReader(&metered{upTo(f, limit), progress}, 0)
	for {
		l, err := in.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if l.no%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h, ok := parseHead(l.text)
		if !ok || l.torn || l.long {
			continue
		}
		if err := line(h, l.text); err != nil {
			return err
		}
	}
}

// search is one run.
type search struct {
	cfg      SearchConfig
	m        *matcher
	v        view
	lower    []byte
	sessions map[string]*known // open sessions, by sid
	starts   map[stmtKey]*start
	match    Match // the one that Visit has
}

// known is what is remembered of a session that is open.
type known struct {
	who  string // cn, else subject
	fits bool   // the conditions on sessions
}

// stmtKey names a statement.
type stmtKey struct{ sid, id string }

// start is the first half of a statement, kept until its end.
type start struct {
	line    []byte
	text    bool // fits the text asked for
	printed bool
}

// line takes in one record.
func (s *search) line(h head, text []byte) error {
	wanted := s.m.inTime(&h) && s.m.isEvent(&h)
	switch Event(h.event) {
	case SessionOpen, SessionClose:
	default:
		if !wanted || s.others(&h) || !s.mayHaveText(&h) {
			return nil
		}
		if !s.m.mayFit(text) {
			s.forget(&h)
			return nil
		}
	}
	s.v.skim(h)
	if Event(h.event) != Statement {
		s.v.finish()
	}
	fits := s.m.session(&s.v)
	k := s.sessions[string(s.v.sid)]
	switch Event(h.event) {
	case SessionOpen:
		k = &known{who: whoOf(&s.v), fits: fits}
		s.sessions[string(s.v.sid)] = k
	case SessionClose:
		delete(s.sessions, string(s.v.sid))
	}
	fits = fits || k != nil && k.fits
	if !wanted || !fits || !hasPrefix(s.v.sid, s.m.sid) {
		return nil
	}
	if s.m.text == "" && len(s.m.sqlstate) == 0 && bytes.Contains(s.v.left, []byte(`"phase":"all"`)) {
		return s.give(Match{session: k}, text) // the rest of it is read when it is asked for
	}
	s.v.finish()
	if string(s.v.phase) == string(PhaseStart) || string(s.v.phase) == string(PhaseEnd) {
		return s.half(text, k)
	}
	if !s.m.isState(&s.v) {
		return nil
	}
	var ok bool
	if ok, s.lower = s.m.hasText(&s.v, s.lower); !ok {
		return nil
	}
	return s.give(Match{session: k}, text)
}

// mayHaveText is a quick look at a line for the text that was asked for: false when it is a statement's
// and cannot fit.
func (s *search) mayHaveText(h *head) bool {
	if len(s.m.raw) == 0 || Event(h.event) != Statement {
		return true
	}
	s.lower = appendLower(s.lower[:0], h.rest)
	return bytes.Contains(s.lower, s.m.raw) || bytes.Contains(h.rest, []byte(`"text_b64":`)) ||
		len(s.starts) > 0 && bytes.Contains(h.rest, []byte(`"phase":"end"`))
}

// others is a quick look at a line whose session is known: true when it is one that was not asked for.
func (s *search) others(h *head) bool {
	rest, ok := bytes.CutPrefix(h.rest, []byte(`,"sid":"`))
	if len(s.m.bySession) == 0 || !ok {
		return false
	}
	sid, _, _ := bytes.Cut(rest, []byte{'"'})
	k := s.sessions[string(sid)]
	return k != nil && !k.fits && Event(h.event) == Statement
}

// give hands m with one more line to the caller.
func (s *search) give(m Match, text []byte) error {
	m.v = &s.v
	if m.Lines == nil {
		m.Lines = s.match.Lines[:0]
	}
	m.Lines = append(m.Lines, text)
	s.match = m
	return s.cfg.Visit(&s.match)
}

func hasPrefix(b, prefix []byte) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == string(prefix)
}

// half takes in the start or the end of a statement of strict delivery. Text stands in the start, the
// SQLSTATE in the end: both lines fit when both halves do.
func (s *search) half(text []byte, k *known) error {
	key := stmtKey{string(s.v.sid), string(s.v.id)}
	if string(s.v.phase) == string(PhaseStart) {
		st := &start{line: append([]byte(nil), text...)}
		st.text, s.lower = s.m.hasText(&s.v, s.lower)
		if !st.text {
			return nil
		}
		s.starts[key] = st
		if s.cfg.Joined || len(s.m.sqlstate) > 0 {
			return nil
		}
		st.printed = true
		return s.give(Match{session: k}, text)
	}
	st := s.starts[key]
	delete(s.starts, key)
	if !s.m.isState(&s.v) {
		return nil
	}
	if st == nil && s.m.text != "" { // its start has another text, or lies before what is searched
		var ok bool
		if ok, s.lower = s.m.hasText(&s.v, s.lower); !ok {
			return nil
		}
	}
	return s.whole(st, text, k)
}

// forget drops the start of the statement that a line ends, of which it is plain that it does not fit: a start
// is kept for the SQLSTATE of its end, and there may be millions.
func (s *search) forget(h *head) {
	if len(s.starts) == 0 || Event(h.event) != Statement || !bytes.Contains(h.rest, []byte(`"phase":"end"`)) {
		return
	}
	rest, ok := bytes.CutPrefix(h.rest, []byte(`,"sid":"`))
	sid, _, found := bytes.Cut(rest, []byte{'"'})
	_, rest, begins := bytes.Cut(rest, []byte(`"stmt":{"id":`))
	if id, _, more := bytes.Cut(rest, []byte{','}); ok && found && begins && more {
		delete(s.starts, stmtKey{string(sid), string(id)})
	}
}

// whole gives the end of a statement with its start, as far as that was not given before.
func (s *search) whole(st *start, text []byte, k *known) error {
	m := Match{session: k}
	if st != nil {
		if h, ok := parseHead(st.line); ok {
			m.first = &view{}
			m.first.read(h)
		}
		if !st.printed {
			m.Lines = append(m.Lines, st.line)
		}
	}
	return s.give(m, text)
}

// end gives the starts that have no end, in no order but that of the map's making: by seq.
func (s *search) end() error {
	if !s.cfg.Joined || len(s.m.sqlstate) > 0 {
		return nil
	}
	for _, st := range sortedStarts(s.starts) {
		h, ok := parseHead(st.line)
		if !ok {
			continue
		}
		s.v.read(h)
		if err := s.give(Match{Unknown: true, session: s.sessions[string(s.v.sid)]}, st.line); err != nil {
			return err
		}
	}
	return nil
}
