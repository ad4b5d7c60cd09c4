package broker

import (
	"context"
	"time"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/relay"
)

// recorder writes what a session's client has the server do into the audit. It is the session's
// relay.Observer.
type recorder struct {
	// Fixed at creation.
	trail       *audit.Log
	refs        audit.Record // what every record of the session has in common
	fingerprint bool

	// Owned by whoever calls Done and Copied: never two at a time.
	rec audit.Record
}

func (s *session) recorder() *recorder {
	d := s.decided.Load()
	return &recorder{
		trail: s.server.cfg.Audit, fingerprint: d.grant.FingerprintOnly,
		refs: audit.Record{
			SID: s.id.String(), CertSHA256: d.identity.SHA256, Map: d.grant.Rule.Name,
			Role: d.grant.Role, Database: d.grant.DBName,
		},
	}
}

// observe has the relay tell of statements as the session's level asks.
func (s *session) observe(cfg *relay.Config) {
	switch s.level() {
	case audit.LevelStatement:
		cfg.Detail = relay.DetailStatements
	case audit.LevelFull:
		cfg.Detail = relay.DetailFull
	default:
		return
	}
	cfg.Observer, cfg.Gate = s.recorder(), s.server.cfg.Audit.Strict()
}

// recorded is what one record of a statement points to, in one allocation.
type recorded struct {
	stmt     audit.Stmt
	upstream audit.Upstream
	tag      [1]string
	hidden   bool // the text has what may not be recorded, and the error may quote it
}

// Start records statements that are about to be sent, and returns when they are on the disk (W97).
func (r *recorder) Start(ctx context.Context, list []*relay.Statement) error {
	recs := make([]*audit.Record, len(list))
	for i, s := range list {
		rec := r.refs
		rec.Event, rec.Stmt = audit.Statement, &r.statement(s, audit.PhaseStart).stmt
		recs[i] = &rec
	}
	return r.trail.Submit(recs...).Wait(ctx)
}

// Done records the outcome of a statement: whole, or the end of what Start has recorded.
func (r *recorder) Done(s *relay.Statement) {
	phase := audit.PhaseAll
	if s.Started {
		phase = audit.PhaseEnd
	}
	out := r.statement(s, phase)
	stmt := &out.stmt
	stmt.SQLState, stmt.Message, stmt.Rows, stmt.RowsOut = s.SQLState, s.Message, s.Rows, s.RowsOut
	stmt.BytesIn, stmt.BytesOut, stmt.Queue, stmt.Exec, stmt.Tx = s.BytesIn, s.BytesOut, s.Queue, s.Exec, s.Tx
	switch {
	case len(s.Tags) == 1:
		out.tag[0] = s.Tags[0]
		stmt.Tags = out.tag[:]
	case len(s.Tags) > 1:
		stmt.Tags = append([]string{}, s.Tags...)
	}
	if out.hidden {
		stmt.Message = ""
	}
	if s.Skipped {
		stmt.Message = "not run: an error came before it"
	}
	r.rec = r.refs
	r.rec.Event, r.rec.Stmt = audit.Statement, stmt
	if s.Conn != 0 {
		out.upstream.Conn, out.upstream.PID = s.Conn, s.PID
		r.rec.Upstream = &out.upstream
	}
	r.trail.Append(&r.rec) // one that is lost is counted there
}

// statement describes a statement as far as its phase has it.
func (r *recorder) statement(s *relay.Statement, phase audit.Phase) *recorded {
	out := &recorded{stmt: audit.Stmt{
		ID: s.ID, Phase: phase, Op: string(s.Op), FingerprintOnly: r.fingerprint,
		TextLen: s.TextLen, TextSHA256: s.TextSHA256,
	}}
	stmt := &out.stmt
	if phase == audit.PhaseEnd && !s.Changed {
		if (s.TextSHA256 != "" || s.Message != "") && r.trail.Hides(s.Text, r.fingerprint) {
			stmt.TextSHA256, out.hidden = "", true // it could be tried offline
		}
		return out
	}
	stmt.OID, stmt.Name, stmt.Portal, stmt.Text = s.OID, s.Name, s.Portal, s.Text
	stmt.NParams, stmt.Types = s.NParams, s.Types
	if r.fingerprint {
		return out // values are literals, too
	}
	if len(s.Params) > 0 {
		stmt.Params = make([]audit.Value, len(s.Params))
		for i, v := range s.Params {
			stmt.Params[i] = audit.Value(v)
		}
	}
	return out
}

// Copied records the data phase of a COPY.
func (r *recorder) Copied(c *relay.Copy) {
	format := "text"
	if c.Binary {
		format = "binary"
	}
	rec := r.refs
	rec.Event, rec.Copy = audit.CopyDone, &audit.Copy{
		Stmt: c.Statement, Direction: c.Direction, Format: format, Columns: c.Columns,
		Rows: c.Rows, Bytes: c.Bytes, SQLState: c.SQLState, Exec: c.Exec.Round(time.Microsecond),
	}
	r.trail.Append(&rec)
}
