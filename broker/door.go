package broker

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/pgsignet/pgsignet/broker/downstream"
)

// door is a listener at work: it counts who is inside and who is on the way.
type door struct {
	Listener
	name  string
	admit *downstream.Config
	net   net.Listener

	clients  atomic.Int64 // granted a login, and not gone yet
	halfOpen atomic.Int64 // accepted, and not granted a login yet
	held     atomic.Int64 // of those: refused, and not told so yet

	mu     sync.Mutex
	byAddr map[netip.Addr]int // of halfOpen, by the socket's peer
	slow   backoff
}

// courtesy is how many connections at once a full listener still takes through TLS, so that they
// read why they are refused; the others are closed without a word, and cost no handshake (W88).
const courtesy = 8

// Why a connection is closed at the door.
const (
	doorFull       = "max_clients"
	doorHalfOpen   = "half_open"
	doorPerAddress = "half_open_per_address"
)

// knock counts a new connection as half open, or says which limit keeps it out. Connections of a
// listed proxy count by the listener alone: they all have the proxy's address.
func (d *door) knock(from netip.Addr) (addr netip.Addr, reason string) {
	switch n := d.halfOpen.Add(1); {
	case d.HalfOpen > 0 && n > int64(d.HalfOpen):
		reason = doorHalfOpen
	case d.full() && n > courtesy:
		reason = doorFull
	default:
		if addr = d.counted(from); !addr.IsValid() || d.take(addr) {
			return addr, ""
		}
		reason = doorPerAddress
	}
	d.halfOpen.Add(-1)
	return netip.Addr{}, reason
}

// counted is the address that a connection counts for, or none.
func (d *door) counted(from netip.Addr) netip.Addr {
	if !from.IsValid() || d.HalfOpenPerAddress == 0 {
		return netip.Addr{}
	}
	addr := from.Unmap().WithZone("")
	for _, p := range d.Admission.ProxyProtocol {
		if p.Contains(addr) {
			return netip.Addr{}
		}
	}
	return addr
}

func (d *door) take(addr netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byAddr[addr] >= d.HalfOpenPerAddress {
		return false
	}
	if d.byAddr == nil {
		d.byAddr = make(map[netip.Addr]int)
	}
	d.byAddr[addr]++
	return true
}

// settle ends a connection's time as half open.
func (d *door) settle(addr netip.Addr) {
	d.halfOpen.Add(-1)
	if !addr.IsValid() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byAddr[addr]--; d.byAddr[addr] <= 0 {
		delete(d.byAddr, addr)
	}
}

// full says whether the listener has as many clients as it may (W88).
func (d *door) full() bool { return d.MaxClients > 0 && d.clients.Load() >= int64(d.MaxClients) }

// enter counts a client that was granted a login, unless it were one too many.
func (d *door) enter() bool {
	if n := d.clients.Add(1); d.MaxClients > 0 && n > int64(d.MaxClients) {
		d.clients.Add(-1)
		return false
	}
	return true
}

// proven tells those who share out handshakes that a client from there has come to something.
func (d *door) proven(from netip.Addr) {
	if slots := d.admit.Handshakes; slots != nil {
		slots.Proven(from)
	}
}

// enter makes a half-open session a client of its listener; leaveDoor undoes either.
func (s *session) enter() error {
	if !s.door.enter() {
		return errTooManyClients()
	}
	s.inside = true
	s.door.settle(s.counted)
	return nil
}

func (s *session) leaveDoor() {
	if s.inside {
		s.door.clients.Add(-1)
		return
	}
	s.door.settle(s.counted)
}
