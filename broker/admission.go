package broker

import (
	"errors"
	"net"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/downstream"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/policy"
)

// refuseTimeout is how long a refused client may take to read why.
const refuseTimeout = 2 * time.Second

// turnAway ends a connection that never became a client.
func (s *session) turnAway(err error) {
	refused, ok := errors.AsType[*downstream.AdmitError](err)
	if !ok {
		s.server.metrics.Denied("internal")
		s.server.log.Error("admission failed", zap.Stringer("sid", s.id), zap.Error(err))
		return
	}
	if refused.Probe {
		s.server.metrics.Abandoned(s.door.name, "probe")
		refused.Conn.Close()
		return
	}
	told := &pgwire.Error{Slug: refused.Reason}
	if refused.Answer != nil {
		told = answer(refused.Answer, s.id)
		told.Slug = refused.Reason
	}
	client := &audit.Client{
		Addr: addrString(refused.Addr), Proxy: addrString(refused.Proxy), Listener: s.door.name,
	}
	auditTLS(client, refused.TLS)
	record := &audit.Record{Client: client, Denial: auditDenial(refused.Stage, told, err)}
	if refused.TLS != nil {
		record.Cert = presentedCert(refused.TLS)
	}
	s.recordDenial(record, told, err)
	s.tell(refused.Conn, refused.Answer, told)
}

// tell sends a refusal where there is one to send, and closes the connection.
func (s *session) tell(conn net.Conn, answer, told *pgwire.Error) {
	if answer == nil {
		conn.Close()
		return
	}
	if err := downstream.Refuse(conn, told, refuseTimeout); err != nil {
		s.server.log.Debug("refusal not delivered", zap.Stringer("sid", s.id), zap.Error(err))
	}
}

// refuse ends a login that was turned down, whatever the stage it had come to.
func (s *session) refuse(stage string, err error) {
	if s.recorded {
		s.withdraw(err)
		return
	}
	if errors.Is(err, errAbandoned) {
		s.server.metrics.Abandoned(s.door.name, "login")
		if s.server.logs("client left during login", "") {
			s.server.log.Info("client left during login", zap.Stringer("sid", s.id))
		}
		return
	}
	told := answer(err, s.id)
	record := &audit.Record{
		Client: auditClient(s.client), Requested: auditRequested(s.client.Startup),
		Denial: auditDenial(stage, told, err),
	}
	s.describeDecision(record, err)
	s.noteShadow(record)
	s.recordDenial(record, told, err)
	if stage != stagePool && told.Code == pgwire.InvalidAuthorizationSpecification {
		s.holdBack(s.ctx, s.client.Addr.Addr(), &s.client.TLS)
	}
	s.tell(s.client.Conn, told, told)
}

// withdraw ends a login whose access is in the audit already: the record has its close, as that of any
// session, and no refusal with the same id.
func (s *session) withdraw(err error) {
	end := relay.End{Reason: reasonInternal}
	var told *pgwire.Error
	if !errors.Is(err, errAbandoned) {
		told = answer(err, s.id)
		end.Tell = told
	}
	switch ended := s.endedBy(); {
	case ended != nil:
		end.Reason = ended.Reason
	case told == nil:
		end.Reason = relay.ClientClosed
	case told.Slug == string(reasonLocked), told.Slug == string(relay.AuditFailed):
		end.Reason = relay.Reason(told.Slug)
	case told.Code != pgwire.InternalError:
		end.Reason = reasonPolicyChanged
	}
	if told != nil {
		s.tell(s.client.Conn, told, told)
		s.server.log.Warn("session withdrawn during login", zap.Stringer("sid", s.id),
			zap.String("reason", string(end.Reason)), zap.String("sqlstate", told.Code), zap.Error(err))
	}
	s.close(&relay.Result{End: end})
}

// describeDecision adds what is known of the certificate and of the rule that refused.
func (s *session) describeDecision(record *audit.Record, err error) {
	d := s.decided.Load()
	var rule *policy.RuleRef
	if p, ok := errors.AsType[*policy.Denied](err); ok {
		rule = p.Rule
	}
	s.countRefusal(rule, record.Denial.Reason)
	if d == nil {
		record.Cert = presentedCert(&s.client.TLS)
		return
	}
	record.Cert = auditCert(d.identity, d.verified)
	if rule != nil {
		record.Rule = auditRule(*rule, nil, nil, d.snapshot.SHA256)
	}
}

func (s *session) recordDenial(record *audit.Record, told *pgwire.Error, err error) {
	record.Event, record.SID = audit.SessionDenied, s.id.String()
	s.server.metrics.Denied(told.Slug)
	if aerr := s.server.cfg.Audit.Append(record); aerr != nil && s.server.logs("refusal not recorded", "") {
		s.server.log.Error("refusal not recorded", zap.Stringer("sid", s.id), zap.Error(aerr))
	}
	if !s.server.logs("session refused", told.Slug) {
		return
	}
	s.server.log.Warn("session refused", zap.Stringer("sid", s.id),
		zap.String("remote_addr", record.Client.Addr), zap.String("reason", told.Slug),
		zap.String("sqlstate", told.Code), zap.Error(err))
}

// recordOpen records an access before the client is let in: durably when delivery is strict. Under
// best_effort a record that finds the queue full is counted by the audit, and nobody is kept out.
func (s *session) recordOpen(record *audit.Record) error {
	s.noteShadow(record)
	trail := s.server.cfg.Audit
	ctx, stop := s.server.withinRecordWait(s.ctx)
	err := trail.Write(ctx, record)
	stop()
	failed, _ := errors.AsType[*audit.WriteError](err)
	s.recorded = err == nil || trail.Strict() && failed == nil // else it may yet be
	switch {
	case err == nil:
		return nil
	case trail.Strict():
		return errAuditDown(err)
	}
	if s.server.logs("audit record lost", string(record.Event)) {
		s.server.log.Error("audit record lost", zap.Stringer("sid", s.id), zap.Error(err))
	}
	return nil
}

// openRecord is the record of an access, written before the client is let in.
func (s *session) openRecord(first *beginning) *audit.Record {
	g := s.decided.Load().grant
	fresh := first.server != nil && first.lease.Fresh()
	if fresh {
		s.setup.Connect = first.server.Connect
	}
	r := s.opening()
	r.Granted.Database, r.Granted.PoolMode, r.Granted.Level = g.DBName, s.mode().String(), s.level()
	r.Upstream = auditUpstream(g.Upstream, first.server, fresh)
	return r
}

// auditUpstream describes the server connection that a session begins with: by the upstream's name
// alone when it begins without one.
func auditUpstream(name string, server *relay.Server, fresh bool) *audit.Upstream {
	if server == nil {
		return &audit.Upstream{Name: name}
	}
	return &audit.Upstream{
		Name: name, Addr: server.Addr, Conn: server.ID, PID: server.PID, Reused: !fresh,
		Generation: server.Generation,
		CertSerial: server.CertSerial, CertNotAfter: server.CertNotAfter,
	}
}

// level is how much of the session is recorded: the map's word, else the configuration's.
func (s *session) level() audit.Level {
	if g := s.decided.Load().grant; g.Audit != "" {
		return audit.Level(g.Audit)
	}
	return s.server.cfg.AuditLevel
}

// mode is how long the session keeps a server connection: the map's word, else the upstream's.
func (s *session) mode() relay.Mode { return s.decided.Load().mode() }

func (d *decision) mode() relay.Mode {
	switch {
	case d.grant.Replication && d.request.Replication:
		return relay.SessionMode
	case d.grant.PoolMode == "transaction":
		return relay.TransactionMode
	case d.grant.PoolMode == "session":
		return relay.SessionMode
	}
	if up := d.snapshot.Upstreams[d.grant.Upstream]; up != nil {
		return up.Pool.Mode
	}
	return relay.SessionMode
}

// recordBestEffort appends a record that nothing waits for.
func (s *Server) recordBestEffort(r *audit.Record) {
	if err := s.cfg.Audit.Append(r); err != nil && s.logs("audit record lost", string(r.Event)) {
		s.log.Error("audit record lost", zap.String("event", string(r.Event)), zap.Error(err))
	}
}
