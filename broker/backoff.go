package broker

import (
	"context"
	"crypto/tls"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pgsignet/pgsignet/broker/downstream"
)

// backoff makes those wait who are refused again and again, by address and by certificate: the pause
// doubles with each refusal, up to a limit. Who is let in never waits. Safe for concurrent use.
type backoff struct {
	mu   sync.Mutex
	seen map[any]*refusals // by netip.Prefix and by certificateHash
}

type certificateHash string

// refusals of one address or certificate.
type refusals struct {
	n    int
	last time.Time
}

const (
	firstBackoff = 50 * time.Millisecond
	// forgetAfter is how long refusals count.
	forgetAfter = 5 * time.Minute
	// maxBackoffs bounds the memory: beyond it the oldest are forgotten, and a newcomer begins anew.
	maxBackoffs = 20_000
)

// pause counts a refusal and returns how long to wait before it is told, at most longest.
func (b *backoff) pause(longest time.Duration, now time.Time, keys ...any) time.Duration {
	if longest <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.seen)+len(keys) > maxBackoffs {
		b.forget(now)
	}
	if b.seen == nil {
		b.seen = make(map[any]*refusals)
	}
	most := 0
	for _, key := range keys {
		r := b.seen[key]
		if r == nil {
			r = &refusals{}
			b.seen[key] = r
		} else if now.Sub(r.last) > forgetAfter {
			r.n = 0
		}
		most = max(most, r.n)
		r.n, r.last = r.n+1, now
	}
	if most == 0 {
		return 0
	}
	return min(longest, firstBackoff<<min(most-1, 20))
}

// forget drops what no longer counts; when that is not enough, the older half.
func (b *backoff) forget(now time.Time) {
	lasts := make([]time.Time, 0, len(b.seen))
	for _, r := range b.seen {
		lasts = append(lasts, r.last)
	}
	slices.SortFunc(lasts, time.Time.Compare)
	middle := lasts[len(lasts)/2]
	for key, r := range b.seen {
		if now.Sub(r.last) > forgetAfter || !r.last.After(middle) {
			delete(b.seen, key)
		}
	}
}

// holdBack waits before a refusal is told, as long as the listener's login_backoff asks for.
func (s *session) holdBack(ctx context.Context, addr netip.Addr, state *tls.ConnectionState) {
	keys := []any{downstream.Network(addr)}
	if state != nil && len(state.PeerCertificates) > 0 {
		keys = append(keys, certificateHash(hexSHA256(state.PeerCertificates[0].Raw)))
	}
	d := s.door.slow.pause(s.door.LoginBackoff, time.Now(), keys...)
	if d == 0 {
		return
	}
	s.door.held.Add(1)
	defer s.door.held.Add(-1)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
