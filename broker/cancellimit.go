package broker

import (
	"net/netip"
	"sync"
	"time"

	"github.com/pgsignet/pgsignet/broker/downstream"
)

// failedCancels bounds how often an address may try cancel keys that match nothing (W78): of IPv6 a
// network, since who guesses has many addresses in it. Safe for concurrent use.
type failedCancels struct {
	mu     sync.Mutex
	second int64 // Unix time that the counts are of
	counts map[netip.Prefix]int
}

// maxFailedCancels is how many such requests an address may make in a second.
const maxFailedCancels = 10

// allowed says whether another request of that address is looked at.
func (f *failedCancels) allowed(addr netip.Addr, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.second != now.Unix() || f.counts[downstream.Network(addr)] < maxFailedCancels
}

// failed counts a request that matched nothing.
func (f *failedCancels) failed(addr netip.Addr, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.second != now.Unix() || f.counts == nil {
		f.second, f.counts = now.Unix(), make(map[netip.Prefix]int)
	}
	f.counts[downstream.Network(addr)]++
}
