package broker

import (
	"sync"

	"github.com/pgsignet/pgsignet/pgwire"
)

// sessionCounts counts the sessions of each map, and of each identity under a map (T93). What has no
// sessions takes no memory. Safe for concurrent use.
type sessionCounts struct {
	mu   sync.Mutex
	open map[countKey]int
}

// countKey is a map's sessions in all, or those of one identity.
type countKey struct {
	rule     string
	identity string // policy.Grant.IdentityKey; meaningless when whole
	whole    bool
}

func newSessionCounts() *sessionCounts { return &sessionCounts{open: make(map[countKey]int)} }

// enter counts one more, unless there are max already; 0 is no limit.
func (c *sessionCounts) enter(key countKey, max int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if max > 0 && c.open[key] >= max {
		return false
	}
	c.open[key]++
	return true
}

func (c *sessionCounts) leave(key countKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[key]--; c.open[key] <= 0 {
		delete(c.open, key)
	}
}

// countIn counts the session against the limits of its map, or says which of them is reached.
func (s *session) countIn() error {
	g := s.decided.Load().grant
	for _, limit := range []struct {
		key    countKey
		max    int
		reason string
		public string
	}{
		{countKey{rule: g.Rule.Name, identity: g.IdentityKey}, g.Limits.Sessions, "session_limit", "too many sessions of this certificate's owner"},
		{countKey{rule: g.Rule.Name, whole: true}, g.Limits.MapSessions, "map_session_limit", "too many sessions"},
	} {
		if !s.server.count.enter(limit.key, limit.max) {
			return &refusal{code: pgwire.TooManyConnections, reason: limit.reason, public: limit.public}
		}
		s.limited = append(s.limited, limit.key)
	}
	return nil
}

// countOut takes the session out of every count that it is in.
func (s *session) countOut() {
	for _, key := range s.limited {
		s.server.count.leave(key)
	}
}
