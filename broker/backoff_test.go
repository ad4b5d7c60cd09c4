package broker

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/downstream"
)

// Who is refused from ever new addresses of one IPv6 network is held back as if it were one address.
func TestBackoffCountsIPv6ByNetwork(t *testing.T) {
	for _, tt := range []struct {
		name, first, second string
		same                bool
	}{
		{"one network", "2001:db8::1", "2001:db8::ffff:0:1", true},
		{"another network", "2001:db8::1", "2001:db8:0:1::1", false},
		{"a zone is no difference", "fe80::1%eth0", "fe80::2%eth1", true},
		{"IPv4 counts whole", "192.0.2.1", "192.0.2.2", false},
		{"no address", "", "192.0.2.2", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first, _ := netip.ParseAddr(tt.first)
			second, _ := netip.ParseAddr(tt.second)
			var b backoff
			b.pause(time.Hour, time.Now(), downstream.Network(first))
			if d := b.pause(time.Hour, time.Now(), downstream.Network(second)); (d > 0) != tt.same {
				t.Errorf("%s after %s waits %s", tt.second, tt.first, d)
			}
		})
	}
}

// A flood of strangers makes the broker forget the oldest refusals, never those of the moment: otherwise who
// has many addresses could take the pause from everybody. The memory stays bounded.
func TestBackoffForgetsTheOldestFirst(t *testing.T) {
	var b backoff
	now := time.Now()
	for range 8 {
		b.pause(time.Hour, now, "guesser")
	}
	for i := range 3 * maxBackoffs {
		now = now.Add(time.Millisecond)
		b.pause(time.Hour, now, fmt.Sprint(i))
		if i%1000 == 0 {
			b.pause(time.Hour, now, "guesser")
		}
		if len(b.seen) > maxBackoffs {
			t.Fatalf("%d remembered, want at most %d", len(b.seen), maxBackoffs)
		}
	}
	if d := b.pause(time.Hour, now, "guesser"); d < time.Minute {
		t.Errorf("a guesser waits %s after a flood of strangers, want more than a minute", d)
	}
}
