package broker

import "sync"

// liveSessions is the index of every session that has a certificate: it is entered before the login
// is decided and left when nothing of the session remains, so that whatever ends sessions finds
// all of them (T90). Safe for concurrent use.
type liveSessions struct {
	mu   sync.Mutex
	byID map[SessionID]*session
	came []*session // since newcomers was last asked
}

func newLiveSessions() *liveSessions { return &liveSessions{byID: make(map[SessionID]*session)} }

func (l *liveSessions) enter(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byID[s.id] = s
	l.came = append(l.came, s)
}

// newcomers returns the sessions that have entered since it was last called, to its one caller.
func (l *liveSessions) newcomers() []*session {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.came
	l.came = nil
	return list
}

func (l *liveSessions) leave(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byID, s.id)
	s.left.Store(true)
}

func (l *liveSessions) has(s *session) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byID[s.id] == s
}

// all returns the sessions that are live now, in no order.
func (l *liveSessions) all() []*session {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*session, 0, len(l.byID))
	for _, s := range l.byID {
		list = append(list, s)
	}
	return list
}
