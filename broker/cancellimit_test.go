package broker

import (
	"net/netip"
	"testing"
	"time"
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
