package broker

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Expiry says what the end of a client's certificate means to its session, by listener.
type Expiry struct {
	// End is "disconnect" (also when empty), "drain" (at the next transaction boundary) or "allow".
	End string
	// Notice is how long before the end a login is told of it; 0: never.
	Notice time.Duration
}

// Values of Expiry.End.
const (
	expiryDrain = "drain"
	expiryAllow = "allow"
)

// expiryTick is how late the end of a certificate may be noticed. It also sets how often the wall
// clock is compared with the monotonic one.
const expiryTick = 500 * time.Millisecond

// expire ends the sessions whose certificates end, until ctx does (T67).
func (s *Server) expire(ctx context.Context) {
	clock := newSteadyClock(s.readClocks)
	tick := time.NewTicker(expiryTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, c := range s.expiries.due(clock.now()) {
				c.expired()
			}
		}
	}
}

// readClocks is the wall clock and the monotonic one.
func readClocks() (wall time.Time, mono time.Duration) {
	now := time.Now()
	return now.Round(0), now.Sub(processStart)
}

// processStart is where the monotonic clock counts from.
var processStart = time.Now()

// expired does to the session what its listener says about certificates that have ended.
func (s *session) expired() {
	end := *endedFor(reasonCertExpired, "the client certificate has expired", "")
	how := s.server.snapshot.Load().Expiry[s.door.name].End
	switch how {
	case expiryAllow:
		return
	case expiryDrain:
		s.drain(end)
	default:
		s.end(end)
	}
	s.server.log.Info("certificate expired", zap.Stringer("sid", s.id), zap.String("on_expiry", how))
}

// watchExpiry sets when the session's certificate ends, by the newest that is known of it: a login and a
// reload may come here at once. A session that leaves meanwhile is forgotten by whoever comes second.
func (s *session) watchExpiry() {
	for {
		known := s.verified.Load()
		s.at(pointEnding)
		s.server.expiries.watch(s, known.NotAfter)
		if s.verified.Load() == known {
			break
		}
	}
	if !s.server.live.has(s) {
		s.server.expiries.forget(s)
	}
}

// expiryNotice is what a client is told whose certificate ends soon, or nil.
func (s *session) expiryNotice(notAfter, now time.Time) *pgwire.Error {
	within := s.server.snapshot.Load().Expiry[s.door.name].Notice
	if within <= 0 || notAfter.Sub(now) > within {
		return nil
	}
	return &pgwire.Error{
		Severity: pgwire.Notice, Code: pgwire.SuccessfulCompletion,
		Message:  "the client certificate expires on " + notAfter.UTC().Format("2006-01-02 15:04:05 UTC"),
		HintText: "Renew it before then.",
	}
}

// expiries is the one heap of when sessions' certificates end. Safe for concurrent use.
type expiries struct {
	mu    sync.Mutex
	queue expiryQueue
	items map[*session]*expiryItem
}

type expiryItem struct {
	at      time.Time
	session *session
	index   int // in the queue
}

func newExpiries() *expiries { return &expiries{items: make(map[*session]*expiryItem)} }

// watch sets when the session's certificate ends, in place of what was known before.
func (e *expiries) watch(s *session, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if item := e.items[s]; item != nil {
		item.at = at
		heap.Fix(&e.queue, item.index)
		return
	}
	item := &expiryItem{at: at, session: s}
	e.items[s] = item
	heap.Push(&e.queue, item)
}

// forget drops a session that is over.
func (e *expiries) forget(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if item := e.items[s]; item != nil {
		heap.Remove(&e.queue, item.index)
		delete(e.items, s)
	}
}

// due takes out the sessions whose certificates are past their last second.
func (e *expiries) due(now time.Time) []*session {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []*session
	for len(e.queue) > 0 && now.After(e.queue[0].at.Add(time.Second-1)) {
		item := heap.Pop(&e.queue).(*expiryItem)
		delete(e.items, item.session)
		list = append(list, item.session)
	}
	return list
}

// expiryQueue is a container/heap, the earliest end first.
type expiryQueue []*expiryItem

func (q expiryQueue) Len() int           { return len(q) }
func (q expiryQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q expiryQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is heap.Interface's.
func (q *expiryQueue) Push(x any) {
	item := x.(*expiryItem)
	item.index = len(*q)
	*q = append(*q, item)
}

// Pop is heap.Interface's.
func (q *expiryQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}
