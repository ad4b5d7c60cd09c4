package trust

import (
	"context"
	"errors"
	"sync"
)

// responderSlots bound the questions under way to each responder, so that one that hangs holds up no
// question to another (A70). Safe for concurrent use.
type responderSlots struct {
	mu     sync.Mutex
	byHost map[string]*slots // of the hosts that somebody asks, or waits to ask
}

// slots are those of one responder.
type slots struct {
	users int // who holds one or waits; guarded by responderSlots.mu
	free  chan struct{}
}

var errOCSPSlots = errors.New("too many OCSP questions to this responder under way")

// enter waits for a slot of that host until ctx ends; done gives it back.
func (r *responderSlots) enter(ctx context.Context, host string) (done func(), err error) {
	s := r.join(host)
	select {
	case s.free <- struct{}{}:
		return func() {
			<-s.free
			r.leave(host, s)
		}, nil
	case <-ctx.Done():
		r.leave(host, s)
		return nil, errOCSPSlots
	}
}

func (r *responderSlots) join(host string) *slots {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.byHost[host]
	if s == nil {
		s = &slots{free: make(chan struct{}, maxFetches)}
		r.byHost[host] = s
	}
	s.users++
	return s
}

func (r *responderSlots) leave(host string, s *slots) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(r.byHost, host)
	}
}
