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

// Server is a server connection; the pool never reads from it. Close may be called from any
// goroutine and while the connection is in use, which must then fail.
type Server interface {
	comparable

	// Healthy reports whether the connection is as good as when it was released: no end, no
	// unexpected byte. It is asked before every reuse, under the pool's lock: it must not block.
	Healthy() bool
	Close() error

	// Retire tells the connection, while it is lent, that it ends when it comes back: its lessee is
	// to give it back as soon as it can. It is called under the pool's lock: it must not block.
	Retire()
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
// Size and WaitTimeout, which are required. The limits of a key are those of its last Acquire.
type Limits struct {
	Size        int // server connections of the key
	MinIdle     int // kept ready once the key has been asked for
	UpstreamMax int // server connections of Key.Upstream, over all keys
	MapMax      int // server connections that Request.Map may hold, over all keys

	WaitTimeout time.Duration
	IdleTimeout time.Duration
	MaxLifetime time.Duration // less up to a tenth, so that connections do not all end at once
}

// Request asks for one server connection.
type Request struct {
	Key     Key
	Limits  Limits
	Map     string // who pays for MapMax: the map of the session
	Session string // for ServerInfo

	// Ended reports that the session is over: nothing is handed to it any more (T90). It is asked
	// under the pool's lock, so it must not block. nil: never.
	Ended func() bool
}

// Config holds what the pools need from outside.
type Config[S Server] struct {
	// Dial opens a connection for key. It must end soon after ctx does. Its error is what waiters
	// get; an SQLState method on it says how (see keepsWaiting).
	Dial func(ctx context.Context, key Key) (S, error)
}

// Pools hands out server connections. It is safe for concurrent use.
//
// A connection is dialling, idle, leased or closing, and counts against every cap until its Close
// has returned. Waiters of a key are served in order of arrival, and so are the keys that wait for
// the cap of their upstream.
type Pools[S Server] struct {
	// Fixed at creation.
	cfg  Config[S]
	wake chan struct{} // tells Run that something is due earlier than it thinks

	work  sync.WaitGroup // dials and closes
	spare sync.Pool      // waiters

	mu        sync.Mutex // guards everything below, and all pools, entries and budgets
	closed    bool
	arrived   uint64 // requests that had to wait
	pools     map[Key]*pool[S]
	upstreams map[string]*budget[S]
	payers    map[string]*budget[S]
	servers   map[S]*entry[S]
	idle      lru[S]
	failing   map[*pool[S]]struct{} // with waiters, until their retryAt
	watchers  map[*watcher[S]]struct{}
	paused    map[Scope]*hold
	disabled  map[Scope]struct{}

	alarm   *time.Timer // runs timeouts; nil: never yet
	alarmAt time.Time   // when it does; zero: it does not

	// What unlock still has to do.
	now   time.Time // of the change
	freed []*budget[S]
	due   []*pool[S]
}

// New checks cfg; it starts nothing.
func New[S Server](cfg Config[S]) (*Pools[S], error) {
	if cfg.Dial == nil {
		return nil, errors.New("pool: no dial function")
	}
	p := &Pools[S]{
		cfg:       cfg,
		wake:      make(chan struct{}, 1),
		pools:     make(map[Key]*pool[S]),
		upstreams: make(map[string]*budget[S]),
		payers:    make(map[string]*budget[S]),
		servers:   make(map[S]*entry[S]),
		failing:   make(map[*pool[S]]struct{}),
		watchers:  make(map[*watcher[S]]struct{}),
		paused:    make(map[Scope]*hold),
		disabled:  make(map[Scope]struct{}),
	}
	p.idle.init()
	return p, nil
}

// Close fails every waiter, closes every connection, leased ones too, and returns when all dials
// and closes have ended. Acquire fails from then on.
func (p *Pools[S]) Close() {
	now := p.lock()
	p.closed = true
	for _, pl := range p.pools {
		pl.failAll(ErrClosed)
		p.kill(pl, now)
	}
	if p.alarm != nil && p.alarm.Stop() {
		p.work.Done()
	}
	p.unlock()
	p.work.Wait()
}

// pool is the connections and the queue of one key. Pools.mu guards it.
type pool[S Server] struct {
	key       Key
	limits    Limits
	upstream  *budget[S]
	payer     *budget[S] // of the last request; pays for MinIdle
	paused    bool
	due       bool // is in Pools.due
	forgotten bool // is not in Pools.pools any more

	entries []*entry[S]
	idle    []*entry[S] // most recently used last
	counts  [states]int
	waiters queue[S]

	failures int       // dials failed in a row
	lastErr  error     // of the last of them
	retryAt  time.Time // no dial before, when failures > 0

	checked time.Time // when a login last proved that the role may log in (W95)
	used    time.Time // last Acquire
	totals  totals
}

// place finds the pool of a's key and the budget of its map, and gives them its limits.
func (p *Pools[S]) place(a *Asker[S]) {
	r := &a.request
	if a.pool == nil || a.pool.forgotten {
		a.pool, a.payer = p.poolOf(r.Key), budgetOf(p.payers, r.Map)
	}
	a.pool.limits, a.pool.payer = r.Limits, a.payer
	p.resize(a.payer, r.Limits.MapMax)
	p.resize(a.pool.upstream, r.Limits.UpstreamMax)
}

func (p *Pools[S]) poolOf(key Key) *pool[S] {
	pl := p.pools[key]
	if pl == nil {
		pl = &pool[S]{key: key, upstream: budgetOf(p.upstreams, key.Upstream), paused: p.pausedKey(key)}
		p.pools[key] = pl
	}
	return pl
}

// total is the number of connections that count against Size.
func (pl *pool[S]) total() int { return len(pl.entries) }

// live is the number of connections that may yet serve a waiter.
func (pl *pool[S]) live() int { return pl.counts[leased] + pl.counts[idle] }
