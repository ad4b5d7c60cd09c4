package broker

import (
	"context"
	"time"

	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/pgwire"
)

// admissionGrace is how long a draining Server lets clients come to their login, where they are told to
// go; connections that say nothing would stay for the listener's handshake_timeout.
const admissionGrace = time.Second

// drain ends every session at its transaction boundary, and at the deadline or when hard ends, at
// once.
func (s *Server) drain(hard context.Context) {
	deadline, cancel := context.WithTimeout(hard, s.cfg.DrainTimeout)
	defer cancel()
	grace, cancelGrace := context.WithTimeout(deadline, admissionGrace)
	defer cancelGrace()
	context.AfterFunc(grace, func() { s.endAdmission(errShuttingDown()) })
	done := make(chan struct{})
	go func() { s.sessions.Wait(); close(done) }()
	for _, c := range s.live.all() {
		c.drain(shutdownEnd(reasonShutdown))
	}
	select {
	case <-done:
		return
	case <-deadline.Done():
	}
	for _, c := range s.live.all() {
		c.end(shutdownEnd(reasonDrainTimeout))
	}
	<-done
}

func shutdownEnd(reason relay.Reason) relay.End {
	return relay.End{Reason: reason, Tell: &pgwire.Error{
		Severity: pgwire.Fatal, Code: pgwire.AdminShutdown, Slug: string(reason),
		Message: "terminating connection: the server is shutting down",
	}}
}
