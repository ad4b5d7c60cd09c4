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
	refs        *audit.Refs
	fingerprint bool

	starts []audit.Ran // Start's, whose calls do not overlap
}

func (s *session) recorder() *recorder {
	d := s.decided.Load()
	return &recorder{
		trail: s.server.cfg.Audit, fingerprint: d.grant.FingerprintOnly,
		refs: &audit.Refs{
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

// Start records statements that are about to be sent, and returns when they are on the disk (W97).
func (r *recorder) Start(ctx context.Context, list []*relay.Statement) error {
	r.starts = r.starts[:0]
	for _, s := range list {
		ran := audit.Ran{Stmt: audit.Stmt{ID: s.ID, Phase: audit.PhaseStart, Op: string(s.Op)}}
		r.describe(&ran.Stmt, s)
		r.starts = append(r.starts, ran)
	}
	t := r.trail.SubmitStatements(r.refs, r.starts)
	clear(r.starts)
	return t.Wait(ctx)
}

// Done records the outcome of a statement: whole, or the end of what Start has recorded.
func (r *recorder) Done(s *relay.Statement) {
	ran := audit.Ran{
		Time: s.At, Conn: s.Conn, PID: s.PID,
		Stmt: audit.Stmt{
			ID: s.ID, Phase: audit.PhaseAll, Op: string(s.Op), Tags: s.Tags, NTags: s.NTags,
			SQLState: s.SQLState, Message: s.Message, Rows: s.Rows, RowsOut: s.RowsOut,
			BytesIn: s.BytesIn, BytesOut: s.BytesOut, Queue: s.Queue, Exec: s.Exec, Tx: s.Tx,
			Undone: s.Undone, Undoes: s.Undoes, Perhaps: s.Perhaps,
		},
	}
	if s.Started {
		ran.Phase = audit.PhaseEnd
	}
	if s.Started && !s.Changed {
		r.outcome(&ran.Stmt, s)
	} else {
		r.describe(&ran.Stmt, s)
	}
	if s.Skipped {
		ran.Message = "not run: an error came before it"
	}
	r.trail.AppendStatement(r.refs, &ran) // one that is lost is counted there
}

// describe says what a statement is.
func (r *recorder) describe(stmt *audit.Stmt, s *relay.Statement) {
	stmt.FingerprintOnly, stmt.TextLen, stmt.TextSHA256 = r.fingerprint, s.TextLen, s.TextSHA256
	stmt.OID, stmt.Name, stmt.Portal, stmt.Text = s.OID, s.Name, s.Portal, s.Text
	stmt.NParams, stmt.Types = s.NParams, s.Types
	if r.fingerprint || len(s.Params) == 0 {
		return // values are literals, too
	}
	stmt.Params = make([]audit.Value, len(s.Params))
	for i, v := range s.Params {
		stmt.Params[i] = audit.Value(v)
	}
}

// outcome says of a statement that Start has described what came to be known of it.
func (r *recorder) outcome(stmt *audit.Stmt, s *relay.Statement) {
	stmt.FingerprintOnly, stmt.TextLen, stmt.TextSHA256 = r.fingerprint, s.TextLen, s.TextSHA256
	if (s.TextSHA256 != "" || s.Message != "") && r.trail.Hides(s.Text, r.fingerprint) {
		stmt.TextSHA256, stmt.Message = "", "" // it could be tried offline; the error may quote it
	}
}

// Copied records the data phase of a COPY.
func (r *recorder) Copied(c *relay.Copy) {
	format := "text"
	if c.Binary {
		format = "binary"
	}
	refs := r.refs
	r.trail.Append(&audit.Record{
		Event: audit.CopyDone, SID: refs.SID, CertSHA256: refs.CertSHA256, Map: refs.Map, Role: refs.Role, Database: refs.Database,
		Copy: &audit.Copy{
			Stmt: c.Statement, Direction: c.Direction, Format: format, Columns: c.Columns,
			Rows: c.Rows, Bytes: c.Bytes, SQLState: c.SQLState, Exec: c.Exec.Round(time.Microsecond),
		},
	})
}
