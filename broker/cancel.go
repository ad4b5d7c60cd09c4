package broker

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/downstream"
	"github.com/pgsignet/pgsignet/pgwire"
)

// cancelRequest serves a connection that carries a cancel request. The requester learns nothing: it
// reads the end of the connection, whatever came of it (W72). It reports whether there is such a session.
func (s *Server) cancelRequest(ctx context.Context, c *downstream.Cancel) (matched bool) {
	defer c.Conn.Close()
	if !s.failedCancels.allowed(c.Addr.Addr(), time.Now()) {
		s.metrics.Cancelled("unread")
		return false
	}
	ctx, stop := context.WithTimeout(ctx, cmp.Or(time.Duration(s.cancelWait.Load()), cancelTimeout))
	defer stop()
	r := newCancelRequest(c)
	if s.cancelHere(ctx, r) || s.cancelElsewhere(ctx, r) {
		return true
	}
	s.failedCancels.failed(c.Addr.Addr(), time.Now())
	s.metrics.Cancelled("unmatched")
	s.log.Debug("cancel request matches no session", zap.String("remote_addr", c.Addr.String()))
	return false
}

// cancelRequest is a cancel request, whichever process of this broker it came to.
type cancelRequest struct {
	key        pgwire.CancelKey
	addr       netip.AddrPort
	tls        string // version; "" in plaintext
	certSHA256 string
}

func newCancelRequest(c *downstream.Cancel) *cancelRequest {
	r := &cancelRequest{key: c.Key, addr: c.Addr}
	if c.TLS != nil {
		r.tls = tlsVersion(c.TLS)
		if len(c.TLS.PeerCertificates) > 0 {
			r.certSHA256 = hexSHA256(c.TLS.PeerCertificates[0].Raw)
		}
	}
	return r
}

// cancelHere cancels what the session of that key runs. It returns false when this process has no
// such session, and else once the request has had its effect.
func (s *Server) cancelHere(ctx context.Context, r *cancelRequest) bool {
	target := s.keys.find(r.key)
	if target == nil {
		return false
	}
	record := describeCancel(r, target)
	if err := s.recordBefore(ctx, record); err != nil {
		s.metrics.Cancelled("unrecorded")
		if _, refused := errors.AsType[*audit.WriteError](err); !refused { // then it may yet be on the disk
			record.Cancel.Result = "failed"
			s.recordBestEffort(&record)
		}
		s.log.Error("cancel request not recorded", zap.Stringer("sid", target.id), zap.Error(err))
		return true
	}
	delivered, err := target.cancel(ctx)
	s.recordCancel(record, delivered, err)
	return true
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
	ctx, stop := s.withinRecordWait(ctx)
	defer stop()
	return s.cfg.Audit.AppendDurable(ctx, &r)
}

// cancelTimeout bounds a cancel request from the client's packet to the server's taking notice.
const cancelTimeout = 10 * time.Second

// describeCancel is the record of a cancel request: who asks, and what the session was at.
func describeCancel(c *cancelRequest, target *session) audit.Record {
	record := &audit.Cancel{Addr: addrString(c.addr), TLS: c.tls, CertSHA256: c.certSHA256}
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
