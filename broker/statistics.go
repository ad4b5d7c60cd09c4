package broker

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/pool"
)

// statsPeriod is what averages are taken over, as PgBouncer's stats_period.
const statsPeriod = time.Minute

// samples are the statistics at the end of the last two periods. Safe for concurrent use.
type samples struct {
	mu           sync.Mutex
	before, last sample
}

type sample struct {
	at     time.Time
	totals map[string]admin.Stats
}

// Positions in admin.Stats.Values.
const (
	statAssigned = iota
	statXacts
	statQueries
	statReceived
	statSent
	statXactTime
	statQueryTime
	statWaitTime
	statParses
	statServerParses
	statBinds
)

// sampleStatistics closes a period every statsPeriod, until ctx ends.
func (s *Server) sampleStatistics(ctx context.Context) {
	tick := time.NewTicker(statsPeriod)
	defer tick.Stop()
	s.sample(time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.sample(now)
		}
	}
}

func (s *Server) sample(now time.Time) {
	totals := s.totals(&s.snapshot.Load().Catalog, s.live.all(), s.pools.Stats())
	s.samples.mu.Lock()
	defer s.samples.mu.Unlock()
	s.samples.before, s.samples.last = s.samples.last, sample{now, totals}
}

// totals are PgBouncer's statistics since the start, by database.
func (s *Server) totals(c *Catalog, live []*session, stats []pool.Stats) map[string]admin.Stats {
	all := make(map[string]admin.Stats)
	for _, d := range c.Databases {
		if d.Name != anyDatabase {
			all[d.Name] = admin.Stats{Database: d.Name}
		}
	}
	for name, t := range s.traffic.totals(live) {
		all[name] = admin.Stats{Database: name, Values: [...]int64{
			statXacts: t.Transactions, statQueries: t.Queries, statReceived: t.BytesIn, statSent: t.BytesOut,
			statXactTime: t.TransactionTime.Microseconds(), statQueryTime: t.QueryTime.Microseconds(),
			statParses: t.Parses, statServerParses: t.ServerParses, statBinds: t.Binds,
		}}
	}
	for _, p := range stats {
		name, _ := c.nameOf(p.Key)
		sum := all[name]
		sum.Database = name
		sum.Values[statAssigned] += int64(p.Leases)
		sum.Values[statWaitTime] += p.WaitTime.Microseconds()
		all[name] = sum
	}
	return all
}

// statistics returns totals and averages, both by database in the same order. Averages are those of
// the last whole period; before there is one, of the time since the start.
func (s *Server) statistics(c *Catalog, live []*session, stats []pool.Stats, now time.Time) (totals, averages []admin.Stats) {
	all := s.totals(c, live, stats)
	s.samples.mu.Lock()
	from, to := s.samples.before, s.samples.last
	s.samples.mu.Unlock()
	if from.at.IsZero() {
		from, to = to, sample{now, all}
	}
	for _, t := range all {
		totals = append(totals, t)
	}
	slices.SortFunc(totals, func(a, b admin.Stats) int { return cmp.Compare(a.Database, b.Database) })
	for _, t := range totals {
		averages = append(averages, average(t.Database, from.totals[t.Database].Values, to.totals[t.Database].Values, to.at.Sub(from.at)))
	}
	return totals, averages
}

// average is per second, but for times: those of transactions and queries are per item.
func average(name string, from, to [11]int64, d time.Duration) admin.Stats {
	a := admin.Stats{Database: name}
	for i := range to {
		a.Values[i] = to[i] - from[i]
	}
	xacts, queries := a.Values[statXacts], a.Values[statQueries]
	for i := range a.Values {
		switch i {
		case statXactTime:
			a.Values[i] /= max(xacts, 1)
		case statQueryTime:
			a.Values[i] /= max(queries, 1)
		default:
			a.Values[i] = int64(float64(a.Values[i]) / max(d.Seconds(), 1))
		}
	}
	return a
}
