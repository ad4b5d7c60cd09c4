package broker

import (
	"time"
)

// The points of a login at which a snapshot may change under it (T90). A test holds a session at
// each of them while one does.
const (
	pointEntered   = "entered the live index"
	pointDeciding  = "took a snapshot to decide by"
	pointDecided   = "decided, not yet compared"
	pointLeased    = "holds a server connection"
	pointRecorded  = "recorded, not yet confirmed"
	pointConfirmed = "confirmed, not yet welcomed"
	pointEnding    = "knows when its certificate ends, not yet watched"
	pointWelcomed  = "welcomed, not yet attached to the relay"
)

// at tells a test how far the login is.
func (s *session) at(point string) {
	if hold := s.server.barrier; hold != nil {
		hold(point)
	}
}

// follow lets the session end with its certificate, tells the client if that is soon, and counts what
// a stricter setting would have refused.
func (s *session) follow() {
	s.watchExpiry()
	verified, now := s.verified.Load(), time.Now()
	if notice := s.expiryNotice(verified.NotAfter, now); notice != nil {
		s.notices = append(s.notices, notice)
	}
	for _, r := range verified.Tolerated() {
		s.server.metrics.Tolerated(s.door.name, string(r))
	}
}
