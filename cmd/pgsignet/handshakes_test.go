package main

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgsignet/pgsignet/broker/downstream"
)

// calls is a later, and a way to wait for all that it has begun.
func calls(t *testing.T) later {
	var begun sync.WaitGroup
	t.Cleanup(begun.Wait)
	return func(after time.Duration, do func()) {
		begun.Go(func() {
			time.Sleep(after)
			do()
		})
	}
}

// While many handshakes queue there is a thread more than processors, and no longer; a few are no crowd.
func TestHandshakesThatQueueGetAThreadMore(t *testing.T) {
	usual := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(usual)
	t.Setenv("GOMAXPROCS", strconv.Itoa(usual))
	synctest.Test(t, func(t *testing.T) {
		threads := func(want int, when string) {
			t.Helper()
			if got := runtime.GOMAXPROCS(0); got != want {
				t.Errorf("GOMAXPROCS is %d %s, want %d", got, when, want)
			}
		}
		h := newHandshakes(&crowd{later: calls(t)}, 1)
		queue := func(h *handshakes, n int) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var waiting sync.WaitGroup
			for range n {
				waiting.Go(func() {
					if _, err := h.Acquire(ctx, somewhere, true); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("a slot that is taken: %v", err)
					}
				})
			}
			waiting.Wait()
		}
		if _, err := h.Acquire(t.Context(), somewhere, true); err != nil {
			t.Fatal(err)
		}
		threads(usual, "with one handshake")
		queue(h, fewWait)
		threads(usual, "with a few that waited")
		queue(h, fewWait+1)
		threads(usual+1, "with many that waited")
		time.Sleep(crowdLasts - 2*time.Second)
		queue(h, fewWait+1)
		own := h.fewer(1)
		if _, err := own.Acquire(t.Context(), somewhere, true); err != nil {
			t.Fatal(err)
		}
		queue(own, fewWait+1)
		threads(usual+1, "with more of them")
		time.Sleep(crowdLasts - 2*time.Second)
		threads(usual+1, "while the last is not long ago")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		threads(usual, "afterwards")
		queue(h, fewWait+1)
		threads(usual+1, "with another crowd")
		time.Sleep(2 * crowdLasts)
		threads(usual, "in the end")
	})
}

var somewhere = netip.MustParseAddr("192.0.2.1")

// A client that has answered goes before those that wait for a first answer, three times in a row; and
// of these, one from where another has logged in before a stranger.
func TestHandshakesFinishWhatIsBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandshakes(&crowd{later: calls(t)}, 1)
		if _, err := h.Acquire(t.Context(), somewhere, true); err != nil {
			t.Fatal(err)
		}
		var got []string
		var waiting sync.WaitGroup
		come := func(name string, from netip.Addr, first bool) {
			waiting.Go(func() {
				if _, err := h.Acquire(t.Context(), from, first); err != nil {
					t.Error(err)
				}
				got = append(got, name)
				h.Release(downstream.WentOn, 0)
			})
			synctest.Wait()
		}
		h.Proven(netip.MustParseAddr("2001:db8::1"))
		for _, name := range []string{"stranger 1", "stranger 2", "stranger 3"} {
			come(name, somewhere, true)
		}
		for _, name := range []string{"known 1", "known 2", "known 3", "known 4"} {
			come(name, netip.MustParseAddr("2001:db8::2"), true)
		}
		for _, name := range []string{"begun 1", "begun 2", "begun 3", "begun 4"} {
			come(name, somewhere, false)
		}
		h.Release(downstream.WentOn, 0)
		waiting.Wait()
		want := []string{"begun 1", "begun 2", "begun 3", "known 1", "begun 4", "known 2", "known 3", "stranger 1",
			"known 4", "stranger 2", "stranger 3"}
		if !slices.Equal(got, want) {
			t.Errorf("in the order %q, want %q", got, want)
		}
	})
}

// Where clients have logged in is remembered for an hour or two, and of not too many.
func TestAddresses(t *testing.T) {
	var a addresses
	now := time.Now()
	address := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}) }
	a.add(address(0), now)
	a.add(address(1), now.Add(addressesAfter+1))
	if !a.has(netip.AddrFrom16(address(0).As16())) || !a.has(address(1)) || a.has(address(2)) {
		t.Error("after an hour: not the two that were added")
	}
	a.add(address(2), now.Add(2*addressesAfter+2))
	if a.has(address(0)) || !a.has(address(1)) || !a.has(address(2)) {
		t.Error("after two hours: not the last two that were added")
	}
	for n := range 5 * mostAddresses {
		a.add(address(n), now)
		if !a.has(address(n)) || len(a.now)+len(a.before) > 2*mostAddresses {
			t.Fatalf("after %d: %d and %d are remembered", n, len(a.now), len(a.before))
		}
	}
}

// T86: when many more handshakes are begun than come to a login a slot rests after each, but not for
// clients that finish theirs; a storm of logins rests never. To finish a handshake alone is no way out.
func TestHandshakesRestInAFlood(t *testing.T) {
	const computed = time.Millisecond
	run := func(t *testing.T, n int, finishes, proves bool) (h *handshakes, took time.Duration) {
		h = newHandshakes(&crowd{later: calls(t)}, 1)
		h.rests = 3
		began := time.Now()
		for range n {
			for _, use := range []downstream.Use{downstream.Began, downstream.WentOn} {
				if use == downstream.WentOn && !finishes {
					continue
				}
				if _, err := h.Acquire(t.Context(), somewhere, use == downstream.Began); err != nil {
					t.Fatal(err)
				}
				time.Sleep(computed)
				h.Release(use, computed)
			}
			if finishes && proves {
				h.Proven(somewhere)
			}
		}
		return h, time.Since(began)
	}
	synctest.Test(t, func(t *testing.T) {
		const n = 10 * patience
		h, took := run(t, n, true, true)
		if took != n*2*computed || h.crowd.flood() {
			t.Errorf("%d logins took %v, want %v; a flood: %v", n, took, n*2*computed, h.crowd.flood())
		}
		h, took = run(t, n, false, false)
		if !h.crowd.flood() {
			t.Error("handshakes that nobody finishes are no flood")
		}
		if took < 3*n*computed || took > 4*n*computed {
			t.Errorf("%d handshakes that nobody finishes took %v, want nearly four times %v", n, took, n*computed)
		}
		if _, took := run(t, n, true, false); took < 3*n*computed {
			t.Errorf("%d handshakes that came to no login took %v, want nearly four times %v", n, took, n*computed)
		}
		began := time.Now()
		if _, err := h.Acquire(t.Context(), somewhere, false); err != nil || time.Since(began) > 0 {
			t.Errorf("a client that finishes waited %v (%v)", time.Since(began), err)
		}
		h.Release(downstream.WentOn, computed)
		began = time.Now()
		const left = 100
		for range left {
			if _, err := h.Acquire(t.Context(), somewhere, true); err != nil {
				t.Fatal(err)
			}
			h.Release(downstream.Nothing, 0)
		}
		if took := time.Since(began); took < (left-1)*leastRest {
			t.Errorf("%d clients that had left took %v, want a rest of %v after each", left, took, leastRest)
		}
		time.Sleep(time.Duration(2*patience/forgiven+1) * time.Second)
		began = time.Now()
		for range patience / 2 {
			if _, err := h.Acquire(t.Context(), somewhere, true); err != nil {
				t.Fatal(err)
			}
			h.Release(downstream.Began, computed)
		}
		for range 10 * patience {
			if _, err := h.Acquire(t.Context(), somewhere, true); err != nil {
				t.Fatal(err)
			}
			h.Release(downstream.Nothing, 0)
		}
		if time.Since(began) > 0 {
			t.Errorf("after the flood handshakes took %v to begin", time.Since(began))
		}
		if h.crowd.flood() {
			t.Error("a flood that is over is one still")
		}
	})
}
