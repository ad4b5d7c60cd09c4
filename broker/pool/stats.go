package pool

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// totals of one key since it was first asked for.
type totals struct {
	leases, waits, dials, dialErrors uint64
	waited                           time.Duration // by those who got a connection
}

// Stats is what a key's pool looks like at one moment.
type Stats struct {
	Key      Key
	Limits   Limits
	Paused   bool
	Disabled bool

	Waiting int           // requests in the queue
	MaxWait time.Duration // of the longest of them
	Active  int           // leased connections
	Idle    int
	Login   int // dials under way
	Closing int

	Failing error // of the last dial, nil after one that worked

	Leases     uint64 // connections handed out
	Waits      uint64 // requests that had to queue
	WaitTime   time.Duration
	Dials      uint64
	DialErrors uint64
}

// Stats returns all pools, in order of their keys.
func (p *Pools[S]) Stats() []Stats {
	now := p.lock()
	defer p.unlock()
	list := make([]Stats, 0, len(p.pools))
	for _, pl := range p.pools {
		s := pl.stats(now)
		s.Disabled = contains(p.disabled, pl.key)
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Stats) int { return a.Key.compare(b.Key) })
	return list
}

func (pl *pool[S]) stats(now time.Time) Stats {
	s := Stats{
		Key: pl.key, Limits: pl.limits, Paused: pl.paused,
		Waiting: pl.waiters.len(), Active: pl.counts[leased], Idle: pl.counts[idle],
		Login: pl.counts[dialing], Closing: pl.counts[closing], Failing: pl.lastErr,
		Leases: pl.totals.leases, Waits: pl.totals.waits, WaitTime: pl.totals.waited,
		Dials: pl.totals.dials, DialErrors: pl.totals.dialErrors,
	}
	if w := pl.waiters.first; w != nil {
		s.MaxWait = now.Sub(w.since)
	}
	return s
}

// State of a connection as the console shows it.
type State string

// States of a connection, in the order it goes through them.
const (
	Dialing State = "dialing"
	Idle    State = "idle"
	Leased  State = "leased"
	Closing State = "closing"
)

// ServerInfo is one connection at one moment.
type ServerInfo[S Server] struct {
	Key     Key
	Map     string // that has it or had it last
	Session string // that has it or had it last
	State   State
	Server  S         // the zero S while Dialing
	Created time.Time // when its dial was done; zero while Dialing
	Since   time.Time // in this state
	Doomed  bool      // ends as soon as it is idle
}

func (e *entry[S]) info(now time.Time) ServerInfo[S] {
	return ServerInfo[S]{
		Key: e.pool.key, Map: e.payer.name, Session: e.session,
		State:  [states]State{Dialing, Idle, Leased, Closing}[e.state],
		Server: e.server, Created: e.created, Since: e.since, Doomed: e.spent(now),
	}
}

// Servers returns all connections, in order of their keys, oldest first.
func (p *Pools[S]) Servers() []ServerInfo[S] {
	now := p.lock()
	defer p.unlock()
	var list []ServerInfo[S]
	for _, pl := range p.pools {
		for _, e := range pl.entries {
			list = append(list, e.info(now))
		}
	}
	slices.SortStableFunc(list, func(a, b ServerInfo[S]) int { return a.Key.compare(b.Key) })
	return list
}

func (k Key) compare(other Key) int {
	return cmp.Or(
		cmp.Compare(k.Upstream, other.Upstream),
		cmp.Compare(k.Database, other.Database),
		cmp.Compare(k.Role, other.Role),
		cmp.Compare(k.Share, other.Share),
		cmp.Compare(k.Credential, other.Credential),
		cmp.Compare(strconv.FormatBool(k.Replication), strconv.FormatBool(other.Replication)),
	)
}
