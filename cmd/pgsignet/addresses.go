package main

import (
	"net/netip"
	"time"

	"github.com/pgsignet/pgsignet/broker/downstream"
)

// addresses is those from where clients have logged in, in the last hour at least and in the last two at
// most. Of IPv6 it is the first 64 bits that count: a machine often has many of the rest. When there are
// more than mostAddresses within the hour, those before them are forgotten. The zero value is empty.
type addresses struct {
	now, before map[netip.Prefix]struct{}
	since       time.Time // now has those who came from then on
}

// An address takes some 60 bytes: mostAddresses of them, twice, 1.2 MB.
const (
	mostAddresses  = 10_000
	addressesAfter = time.Hour
)

func (a *addresses) has(from netip.Addr) bool {
	network := downstream.Network(from)
	if _, ok := a.now[network]; ok {
		return true
	}
	_, ok := a.before[network]
	return ok
}

func (a *addresses) add(from netip.Addr, now time.Time) {
	if a.now == nil || len(a.now) >= mostAddresses || now.Sub(a.since) > addressesAfter {
		a.before, a.now, a.since = a.now, make(map[netip.Prefix]struct{}), now
	}
	a.now[downstream.Network(from)] = struct{}{}
}
