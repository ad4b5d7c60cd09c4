package main

import (
	"context"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// While handshakes queue there is a thread more than processors, and no longer.
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
		h := newHandshakes(1)
		queue := func(h *handshakes) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if h.Acquire(ctx, 1) == nil {
				t.Error("a slot that is taken was given")
			}
		}
		if err := h.Acquire(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		threads(usual, "with one handshake")
		queue(h)
		threads(usual+1, "with one that waited")
		time.Sleep(crowdLasts - 2*time.Second)
		queue(h)
		own := h.fewer(1)
		if err := own.Acquire(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		queue(own)
		threads(usual+1, "with more of them")
		time.Sleep(crowdLasts - 2*time.Second)
		threads(usual+1, "while the last is not long ago")
		time.Sleep(2 * time.Second)
		threads(usual, "afterwards")
		queue(h)
		threads(usual+1, "with another crowd")
		time.Sleep(2 * crowdLasts)
		threads(usual, "in the end")
	})
}
