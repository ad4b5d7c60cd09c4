package broker

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/downstream"
	"github.com/pgsignet/pgsignet/pgwire"
)

// W78: ten failed cancels a second and address, however the address is written.
func TestW78FailedCancelsAreLimited(t *testing.T) {
	var f failedCancels
	now := time.Unix(1000, 0)
	plain, mapped := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::ffff:10.0.0.1")
	for range maxFailedCancels {
		if !f.allowed(mapped, now) {
			t.Fatal("refused below the limit")
		}
		f.failed(mapped, now)
	}
	if f.allowed(plain, now) || f.allowed(mapped, now) {
		t.Error("an eleventh failed cancel is looked at")
	}
	if !f.allowed(netip.MustParseAddr("10.0.0.2"), now) {
		t.Error("another address pays for it")
	}
	for i := range maxFailedCancels {
		f.failed(netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 15: byte(i)}), now)
	}
	if f.allowed(netip.MustParseAddr("2001:db8::ffff"), now) || !f.allowed(netip.MustParseAddr("2001:db8:0:1::1"), now) {
		t.Error("of IPv6 it is a network of 64 bits that is counted")
	}
	if !f.allowed(plain, now.Add(time.Second)) {
		t.Error("refused in the next second, too")
	}
}

// W78: a request that matches nothing counts against its address; above the limit not even a session's own key
// is looked at.
func TestW78CancelRequestsAreCounted(t *testing.T) {
	l := newLab(t, 1, nil, everybody)
	f, alice := &l.server.failedCancels, l.Client("alice")
	counted := func() (n int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, c := range f.counts {
			n += c
		}
		return n
	}
	_, own := l.cancellable(t, alice)
	io.Copy(io.Discard, own())
	if n := counted(); n != 0 {
		t.Errorf("a session's own key counts %d", n)
	}
	guess := l.dialTLS(alice) // its secret has another length than any session's
	say(t, guess, pgwire.AppendCancelRequest(nil, pgwire.CancelKey{PID: 1, Secret: make([]byte, 8)}))
	io.Copy(io.Discard, guess)
	if n := counted(); n != 1 {
		t.Errorf("a key that matches nothing counts %d, want 1", n)
	}
	key := l.server.keys.add(&session{server: l.server}, 0, pgwire.V30)
	addr := netip.MustParseAddrPort("10.0.0.1:1000")
	for heard := true; heard; {
		began := time.Now()
		for range maxFailedCancels {
			f.failed(addr.Addr(), began)
		}
		heard = l.server.cancelRequest(t.Context(), &downstream.Cancel{Key: key, Addr: addr, Conn: &downstream.Conn{Conn: l.dialTLS(alice)}})
		if heard && time.Now().Unix() == began.Unix() {
			t.Fatal("above the limit a key is still looked at")
		} // else another second began meanwhile: once more
	}
}
