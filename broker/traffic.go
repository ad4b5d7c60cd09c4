package broker

import (
	"maps"
	"sync"

	"github.com/pgsignet/pgsignet/broker/relay"
)

// traffic sums what sessions have done by database. Live sessions count for themselves; they are
// summed when somebody asks, and added for good when they end. Safe for concurrent use.
type traffic struct {
	mu     sync.Mutex
	closed map[string]relay.Totals
}

// maxTraffic bounds the names: what `database "*"` passes through is chosen by clients.
const maxTraffic = 1000

// close adds a session that has ended.
func (t *traffic) close(s *session, r *relay.Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.summed = true
	if t.closed == nil {
		t.closed = make(map[string]relay.Totals)
	}
	addTo(t.closed, s.decided.Load().grant.Database, r.Totals())
}

// totals returns the sums, live sessions included.
func (t *traffic) totals(live []*session) map[string]relay.Totals {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := maps.Clone(t.closed)
	if all == nil {
		all = make(map[string]relay.Totals)
	}
	for _, s := range live {
		if s.summed {
			continue
		}
		if r := s.relaying(); r != nil {
			addTo(all, s.decided.Load().grant.Database, r.Totals())
		}
	}
	return all
}

func addTo(all map[string]relay.Totals, name string, t relay.Totals) {
	sum, known := all[name]
	if !known && len(all) >= maxTraffic {
		name = anyDatabase
		sum = all[name]
	}
	sum.Add(t)
	all[name] = sum
}
