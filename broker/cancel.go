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
	target := s.keys.find(c.Key)
	if target == nil {
		s.metrics.Cancelled("unmatched")
		s.log.Debug("cancel request matches no session", zap.String("remote_addr", c.Addr.String()))
		return
	}
	ctx, stop := context.WithTimeout(ctx, cancelTimeout)
	defer stop()
	delivered, err := target.cancel(ctx)
	s.recordCancel(c, target, delivered, err)
}

// cancelTimeout bounds a cancel request from the client's packet to the server's taking notice.
const cancelTimeout = 10 * time.Second

func (s *Server) recordCancel(c *downstream.Cancel, target *session, delivered bool, err error) {
	record := &audit.Cancel{Addr: addrString(c.Addr), Result: "delivered"}
	switch {
	case err != nil:
		record.Result = "failed"
	case !delivered:
		record.Result = "nothing to cancel"
	}
	s.metrics.Cancelled(record.Result)
	if c.TLS != nil {
		record.TLS = tlsVersion(c.TLS)
	}
	s.recordBestEffort(&audit.Record{Event: audit.CancelRequest, SID: target.id.String(), Cancel: record})
}

// cancel cancels what the session runs, if anything.
func (s *session) cancel(ctx context.Context) (delivered bool, err error) {
	s.mu.Lock()
	r := s.relay
	s.mu.Unlock()
	if r == nil {
		return false, nil
	}
	return r.Cancel(ctx)
}
