package broker

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/downstream"
)

// cancelRequest serves a connection that carries a cancel request. The requester learns nothing: it
// reads the end of the connection, whatever came of it (W72).
func (s *Server) cancelRequest(ctx context.Context, c *downstream.Cancel) {
	defer c.Conn.Close()
	if !s.failedCancels.allowed(c.Addr.Addr(), time.Now()) {
		return
	}
	target := s.keys.find(c.Key)
	if target == nil {
		s.failedCancels.failed(c.Addr.Addr(), time.Now())
		s.metrics.Cancelled("unmatched")
		s.log.Debug("cancel request matches no session", zap.String("remote_addr", c.Addr.String()))
		return
	}
	ctx, stop := context.WithTimeout(ctx, cancelTimeout)
	defer stop()
	record := describeCancel(c, target)
	if err := s.recordBefore(ctx, record); err != nil {
		s.metrics.Cancelled("unrecorded")
		s.log.Error("cancel request not recorded", zap.Stringer("sid", target.id), zap.Error(err))
		return
	}
	delivered, err := target.cancel(ctx)
	s.recordCancel(record, delivered, err)
}

// recordBefore makes a record durable before what it is about happens, when delivery is strict; then
// its result is "requested", and another one has what came of it.
func (s *Server) recordBefore(ctx context.Context, r audit.Record) error {
	if !s.cfg.Audit.Strict() {
		return nil
	}
	cancel := *r.Cancel
	cancel.Result = "requested"
	r.Cancel = &cancel
	return s.cfg.Audit.AppendDurable(ctx, &r)
}

// cancelTimeout bounds a cancel request from the client's packet to the server's taking notice.
const cancelTimeout = 10 * time.Second

// describeCancel is the record of a cancel request: who asks, and what the session was at.
func describeCancel(c *downstream.Cancel, target *session) audit.Record {
	record := &audit.Cancel{Addr: addrString(c.Addr)}
	if c.TLS != nil {
		record.TLS = tlsVersion(c.TLS)
		if len(c.TLS.PeerCertificates) > 0 {
			record.CertSHA256 = hexSHA256(c.TLS.PeerCertificates[0].Raw)
		}
	}
	if r := target.relaying(); r != nil {
		record.Stmt, record.PID = r.Running()
	}
	return audit.Record{Event: audit.CancelRequest, SID: target.id.String(), Cancel: record}
}

func (s *Server) recordCancel(r audit.Record, delivered bool, err error) {
	result := "delivered"
	switch {
	case err != nil:
		result = "failed"
	case !delivered:
		result = "nothing to cancel"
	}
	r.Cancel.Result = result
	s.metrics.Cancelled(result)
	s.recordBestEffort(&r)
}

// cancel cancels what the session runs, if anything.
func (s *session) cancel(ctx context.Context) (delivered bool, err error) {
	s.mu.Lock()
	r, console := s.relay, s.console
	s.mu.Unlock()
	if console != nil {
		return console.Cancel(), nil
	}
	if r == nil {
		return false, nil
	}
	return r.Cancel(ctx)
}
