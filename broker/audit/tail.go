package audit

import (
	"context"
	"time"
)

// TailConfig says what to show.
type TailConfig struct {
	Directory string
	Query     Query
	Lines     int  // of those there already are, the last so many
	Follow    bool // go on as records are written, until ctx ends
	Visit     func(*Match) error
}

// tailEvery is how often Tail looks for more.
const tailEvery = 250 * time.Millisecond

// Tail gives the last records that fit, and with Follow those to come. It does not verify. It returns
// nil when ctx ends.
func Tail(ctx context.Context, cfg TailConfig) error {
	m, err := newMatcher(cfg.Query)
	if err != nil {
		return err
	}
	last := &lastMatches{n: cfg.Lines}
	s := &search{cfg: SearchConfig{Visit: last.add}, m: m, sessions: map[string]*known{}, starts: map[stmtKey]*start{}}
	feed := NewFeed(cfg.Directory, nil, false, nil)
	visit := func(e *Entry) error {
		h, _ := parseHead(e.Text)
		return s.line(h, e.Text)
	}
	if _, err := feed.Read(ctx, visit); err != nil {
		return ended(ctx, err)
	}
	if err := last.give(cfg.Visit); err != nil || !cfg.Follow {
		return err
	}
	s.cfg.Visit = cfg.Visit
	tick := time.NewTicker(tailEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if _, err := feed.Read(ctx, visit); err != nil {
			return ended(ctx, err)
		}
	}
}

// ended is nil when err came of ctx ending, which is how a tail ends.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// lastMatches keeps copies of the last n matches.
type lastMatches struct {
	n    int
	ring []Match
	next int
}

func (l *lastMatches) add(m *Match) error {
	if l.n <= 0 {
		return nil
	}
	own := Match{Unknown: m.Unknown, row: m.Row()}
	for _, text := range m.Lines {
		own.Lines = append(own.Lines, append([]byte(nil), text...))
	}
	if len(l.ring) < l.n {
		l.ring = append(l.ring, own)
		return nil
	}
	l.ring[l.next] = own
	l.next = (l.next + 1) % l.n
	return nil
}

func (l *lastMatches) give(visit func(*Match) error) error {
	for i := range l.ring {
		if err := visit(&l.ring[(l.next+i)%len(l.ring)]); err != nil {
			return err
		}
	}
	return nil
}
