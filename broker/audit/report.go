package audit

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// By is what a report has one line for.
type By string

// The kinds of report.
const (
	ByCert     By = "cert"
	ByRole     By = "role"
	ByMap      By = "map"
	ByDatabase By = "database"
	ByReason   By = "reason" // why clients were refused and sessions ended
)

// ParseBy reads the flag --by.
func ParseBy(s string) (By, error) {
	switch b := By(s); b {
	case ByCert, ByRole, ByMap, ByDatabase, ByReason:
		return b, nil
	}
	return "", fmt.Errorf("report by %q: cert, role, map, database or reason", s)
}

// ReportConfig says where to look and what to sum.
type ReportConfig struct {
	Directory string
	Query     Query
	By        By
	Progress  func(bytes int64)
}

// Summary is a report: who did how much.
type Summary struct {
	By       By         `json:"by"`
	Since    time.Time  `json:"since,omitzero"` // of the query
	Until    time.Time  `json:"until,omitzero"`
	First    time.Time  `json:"first_seen,omitzero"` // of what was counted
	Last     time.Time  `json:"last_seen,omitzero"`
	Lines    []*Sum     `json:"lines"`
	Total    Sum        `json:"total"`
	Timeline []Interval `json:"timeline"`
}

// Sum is one line of a report. With --by reason its sessions are those that ended so, and Time is
// theirs; else Time is that of statements.
type Sum struct {
	Key        string        `json:"key"`
	Who        string        `json:"who,omitempty"` // of a certificate: its CN or subject
	Sessions   int64         `json:"sessions"`
	Refusals   int64         `json:"refusals"`
	Statements int64         `json:"statements"`
	Errors     int64         `json:"errors"`
	Unknown    int64         `json:"unknown"` // statements whose outcome is not known, or whether they were rolled back
	Undone     int64         `json:"undone"`  // statements that succeeded and were then rolled back
	Rows       int64         `json:"rows"`    // those of undone statements included
	Time       time.Duration `json:"-"`
	TimeUS     int64         `json:"time_us"`
	First      time.Time     `json:"first_seen"`
	Last       time.Time     `json:"last_seen"`
	Roles      []string      `json:"roles,omitempty"`
	Databases  []string      `json:"databases,omitempty"`

	roles, databases map[string]bool
}

// Interval is a bar of the timeline.
type Interval struct {
	Start      time.Time `json:"start"`
	Sessions   int64     `json:"sessions"`
	Refusals   int64     `json:"refusals"`
	Statements int64     `json:"statements"`
}

// Report sums what the directory holds. It does not verify.
func Report(ctx context.Context, cfg ReportConfig) (*Summary, error) {
	m, err := newMatcher(cfg.Query)
	if err != nil {
		return nil, err
	}
	r := &report{
		by: cfg.By, m: m, sums: map[string]*Sum{}, sessions: map[string]*session{},
		minutes: map[int64]*Interval{}, total: &Sum{Key: "total"},
	}
	if err := scan(ctx, cfg.Directory, m, true, cfg.Progress, r.line, func() error { return nil }); err != nil {
		return nil, err
	}
	return r.summary(cfg), nil
}

// report is one run.
type report struct {
	by       By
	m        *matcher
	v        view
	lower    []byte
	sums     map[string]*Sum
	total    *Sum
	sessions map[string]*session // open ones, by sid
	minutes  map[int64]*Interval // by Unix minute
}

// session is what a report remembers of an open one.
type session struct {
	fits                     bool
	key, who, role, database string
	statements, errors, rows int64 // seen as lines
	started                  map[string]string
	open                     []int64 // numbers of the statements counted whose transaction may be rolled back yet
}

// line takes in one record.
func (r *report) line(h head, text []byte) error {
	if string(h.event) == string(checkpointEvent) || string(h.event) == string(prunedEvent) {
		return nil
	}
	r.v.read(h)
	s := r.sessions[string(r.v.sid)]
	if string(h.event) == string(SessionOpen) {
		s = r.open()
	}
	if !(s != nil && s.fits || r.m.session(&r.v)) || !hasPrefix(r.v.sid, r.m.sid) {
		return nil
	}
	wanted := r.m.inTime(&h) && r.m.isEvent(&h) && r.m.isState(&r.v)
	switch Event(h.event) {
	case SessionOpen:
		if wanted && r.by != ByReason {
			r.add(s, Sum{Sessions: 1})
		}
	case SessionDenied:
		if wanted {
			r.add(r.denied(), Sum{Refusals: max(r.v.count, 1)})
		}
	case Statement:
		r.statement(s, wanted)
	case SessionClose:
		if s != nil {
			r.undo(s)
			r.closed(s, wanted)
		}
		delete(r.sessions, string(r.v.sid))
	}
	return nil
}

// open starts to remember the session of the line.
func (r *report) open() *session {
	s := &session{fits: r.m.session(&r.v), who: whoOf(&r.v), role: unquote(r.v.role), database: unquote(r.v.database)}
	s.key = r.key(s.role, s.database)
	r.sessions[string(r.v.sid)] = s
	return s
}

// denied is the session there would have been.
func (r *report) denied() *session {
	s := &session{role: unquote(r.v.user), database: unquote(r.v.database)}
	if len(r.v.cert) > 0 {
		s.who = whoOf(&r.v)
	}
	s.key = r.key(s.role, s.database)
	return s
}

// key is what the line is summed under.
func (r *report) key(role, database string) string {
	var key string
	switch r.by {
	case ByCert:
		key = string(r.v.cert)
	case ByRole:
		key = role
	case ByMap:
		key = unquote(r.v.rule)
	case ByDatabase:
		key = database
	case ByReason:
		key = unquote(r.v.reason)
	}
	return cmp.Or(key, "(none)")
}

// statement counts a statement: at its end, or at its start until that comes.
func (r *report) statement(s *session, wanted bool) {
	if s == nil { // its open record was pruned or lost: the line's own fields have to do
		s = &session{role: unquote(r.v.role), database: unquote(r.v.database), who: whoOf(&r.v)}
		s.key = r.key(s.role, s.database)
	}
	var ok bool
	ok, r.lower = r.m.hasText(&r.v, r.lower)
	id := string(r.v.id)
	switch string(r.v.phase) {
	case string(PhaseStart):
		if wanted && ok {
			if s.started == nil {
				s.started = map[string]string{}
			}
			s.started[id] = ""
			r.add(s, Sum{Statements: 1, Unknown: 1})
			s.statements++
		}
		return
	case string(PhaseEnd):
		if _, begun := s.started[id]; begun {
			delete(s.started, id)
			r.outcome(s, Sum{Unknown: -1})
			r.undo(s)
			return
		}
		ok = ok && (r.m.text == "" || len(r.v.text)+len(r.v.textB64) > 0) // a text of its own: what ran was another
	}
	if wanted && ok {
		n := Sum{}
		if isStatement(r.v.op) {
			n.Statements = 1
			s.statements++
		}
		r.outcome(s, n)
	}
	r.undo(s)
}

// isStatement says whether an op is that of a statement, and not of a step towards one or of a batch's end.
func isStatement(op []byte) bool {
	switch string(op) {
	case "query", "execute", "function":
		return true
	}
	return false
}

// undo takes in what the line says of transactions: which of the statements counted were rolled back, and
// whether that may still become of them.
func (r *report) undo(s *session) {
	if from := cmp.Or(r.v.undoes, r.v.mayUndo); from > 0 {
		at := slices.IndexFunc(s.open, func(id int64) bool { return id >= from })
		if at >= 0 && r.v.undoes > 0 {
			r.add(s, Sum{Undone: int64(len(s.open) - at)})
		} else if at >= 0 {
			r.add(s, Sum{Unknown: int64(len(s.open) - at)})
		}
		if at >= 0 {
			s.open = s.open[:at]
		}
	}
	if string(r.v.tx) == "I" {
		s.open = s.open[:0]
	}
}

// outcome adds what came of a statement.
func (r *report) outcome(s *session, n Sum) {
	n.Rows, n.Time = max(r.v.rows, r.v.rowsOut), time.Duration(r.v.exec)*time.Microsecond
	if string(r.v.sqlstate) != "00000" && len(r.v.sqlstate) > 0 {
		n.Errors = 1
	}
	switch {
	case n.Errors > 0:
	case r.v.undone:
		n.Undone = 1
	case (string(r.v.tx) != "I" || r.v.mayUndo > 0) && isStatement(r.v.op):
		s.open = append(s.open, number(r.v.id))
	}
	s.errors += n.Errors
	s.rows += n.Rows
	r.add(s, n)
}

// closed adds what the close record counts and no line said: below level statement that is all.
func (r *report) closed(s *session, wanted bool) {
	narrowed := r.m.text != "" || len(r.m.sqlstate) > 0
	if !wanted || narrowed && r.by != ByReason {
		return
	}
	n := Sum{
		Statements: max(0, r.v.statements-s.statements), Errors: max(0, r.v.failed-s.errors), Rows: max(0, r.v.rows-s.rows),
	}
	if r.by == ByReason {
		s.key = r.key("", "")
		n = Sum{Sessions: 1, Statements: r.v.statements, Errors: r.v.failed, Rows: r.v.rows, Time: time.Duration(r.v.duration) * time.Microsecond}
	}
	r.add(s, n)
}

// add sums n under the session's key, in the total and in the timeline.
func (r *report) add(s *session, n Sum) {
	if r.by == ByReason && string(r.v.event) == string(Statement) {
		return
	}
	t, err := time.Parse(timeLayout, string(r.v.time))
	if err != nil {
		return
	}
	line := r.sums[s.key]
	if line == nil {
		line = &Sum{Key: s.key, roles: map[string]bool{}, databases: map[string]bool{}}
		r.sums[s.key] = line
	}
	if r.by == ByCert && s.who != "" {
		line.Who = s.who
	}
	if n.Refusals == 0 {
		remember(line.roles, s.role)
		remember(line.databases, s.database)
	}
	line.plus(n, t)
	r.total.plus(n, t)
	bar := r.minutes[t.Unix()/60]
	if bar == nil {
		bar = &Interval{}
		r.minutes[t.Unix()/60] = bar
	}
	bar.Sessions += n.Sessions
	bar.Refusals += n.Refusals
	bar.Statements += n.Statements
}

// maxNames bounds the roles and databases listed for one key.
const maxNames = 100

func remember(names map[string]bool, name string) {
	if name != "" && len(names) < maxNames {
		names[name] = true
	}
}

func (s *Sum) plus(n Sum, t time.Time) {
	s.Sessions += n.Sessions
	s.Refusals += n.Refusals
	s.Statements += n.Statements
	s.Errors += n.Errors
	s.Unknown += n.Unknown
	s.Undone += n.Undone
	s.Rows += n.Rows
	s.Time += n.Time
	if s.First.IsZero() || t.Before(s.First) {
		s.First = t
	}
	if t.After(s.Last) {
		s.Last = t
	}
}

// summary orders the lines: most statements first, then most sessions, then by name.
func (r *report) summary(cfg ReportConfig) *Summary {
	s := &Summary{By: r.by, Since: cfg.Query.Since, Until: cfg.Query.Until, First: r.total.First, Last: r.total.Last, Lines: []*Sum{}}
	for _, line := range r.sums {
		line.finish()
		s.Lines = append(s.Lines, line)
	}
	slices.SortFunc(s.Lines, func(a, b *Sum) int {
		return cmp.Or(cmp.Compare(b.Statements, a.Statements), cmp.Compare(b.Sessions, a.Sessions),
			cmp.Compare(b.Refusals, a.Refusals), strings.Compare(a.Key, b.Key))
	})
	r.total.finish()
	s.Total = *r.total
	s.Timeline = fold(r.minutes)
	return s
}

func (s *Sum) finish() {
	s.TimeUS = s.Time.Microseconds()
	s.Roles = slices.Sorted(maps.Keys(s.roles))
	s.Databases = slices.Sorted(maps.Keys(s.databases))
}

// maxBars is how many intervals a timeline has at most.
const maxBars = 60

// steps are the lengths an interval may have, in minutes.
var steps = [...]int64{1, 5, 15, 60, 3 * 60, 6 * 60, 12 * 60, 24 * 60, 7 * 24 * 60, 30 * 24 * 60, 365 * 24 * 60}

// fold gathers minutes into at most maxBars intervals of equal length, without holes.
func fold(minutes map[int64]*Interval) []Interval {
	if len(minutes) == 0 {
		return []Interval{}
	}
	keys := slices.Sorted(maps.Keys(minutes))
	first, last := keys[0], keys[len(keys)-1]
	step := steps[len(steps)-1]
	for _, s := range steps {
		if last/s-first/s < maxBars {
			step = s
			break
		}
	}
	bars := make([]Interval, min(last/step-first/step+1, maxBars))
	for i := range bars {
		bars[i].Start = time.Unix((first/step+int64(i))*step*60, 0).UTC()
	}
	for _, k := range keys {
		bar := &bars[min(k/step-first/step, maxBars-1)]
		bar.Sessions += minutes[k].Sessions
		bar.Refusals += minutes[k].Refusals
		bar.Statements += minutes[k].Statements
	}
	return bars
}
