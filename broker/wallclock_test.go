package broker

import (
	"testing"
	"time"
)

// fakeClocks are a wall clock and a monotonic clock that the test moves.
type fakeClocks struct {
	wall time.Time
	mono time.Duration
}

func (f *fakeClocks) read() (time.Time, time.Duration) { return f.wall, f.mono }

func (f *fakeClocks) pass(d time.Duration) { f.wall, f.mono = f.wall.Add(d), f.mono+d }

// TestA121WallClockJumps: a jump of a day and back is not followed; a change that lasts is, after a
// minute (T68).
func TestA121WallClockJumps(t *testing.T) {
	start := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, jump := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		f := &fakeClocks{wall: start}
		c := newSteadyClock(f.read)
		f.wall = f.wall.Add(jump)
		for range 50 {
			f.pass(time.Second)
			if got, want := c.now(), start.Add(f.mono); !got.Equal(want) {
				t.Fatalf("%v after a jump of %v: %s, want %s", f.mono, jump, got, want)
			}
		}
		f.wall = f.wall.Add(-jump) // back
		f.pass(time.Second)
		if got := c.now(); !got.Equal(f.wall) {
			t.Errorf("after the jump back: %s, want %s", got, f.wall)
		}
		f.wall = f.wall.Add(jump) // again, to stay
		before := f.mono
		for f.pass(time.Second); !c.now().Equal(f.wall); f.pass(time.Second) {
			if f.mono-before > 2*clockProof {
				t.Fatalf("a jump of %v is still not believed", jump)
			}
		}
		if held := f.mono - before; held < clockProof {
			t.Errorf("a jump of %v was believed after %v", jump, held)
		}
	}
}

// TestWallClockIsFollowed: what is no jump is believed at once, a second jump starts anew.
func TestWallClockIsFollowed(t *testing.T) {
	f := &fakeClocks{wall: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	c := newSteadyClock(f.read)
	f.wall = f.wall.Add(59 * time.Minute)
	f.pass(time.Second)
	if !c.now().Equal(f.wall) {
		t.Error("a step of 59 minutes is not followed")
	}
	f.wall = f.wall.Add(2 * time.Hour)
	c.now()
	f.pass(50 * time.Second)
	f.wall = f.wall.Add(24 * time.Hour)
	c.now()
	f.pass(50 * time.Second)
	if c.now().Equal(f.wall) {
		t.Error("a second jump took over the proof of the first")
	}
	f.pass(11 * time.Second)
	if !c.now().Equal(f.wall) {
		t.Error("the second jump is not believed after its minute")
	}
}

// TestExpiries: sessions come due in order, once, and not before the last second of their certificate
// is over; those that left or were renewed do not.
func TestExpiries(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	e := newExpiries()
	sessions := make([]*session, 5)
	for i := range sessions {
		sessions[i] = &session{}
		e.watch(sessions[i], now.Add(time.Duration(5-i)*time.Minute))
	}
	e.forget(sessions[4])
	e.watch(sessions[3], now.Add(time.Hour)) // renewed
	if due := e.due(now.Add(3*time.Minute + 999*time.Millisecond)); len(due) != 0 {
		t.Errorf("%d sessions are due within their last second", len(due))
	}
	due := e.due(now.Add(4*time.Minute + time.Second))
	if len(due) != 2 || due[0] != sessions[2] || due[1] != sessions[1] {
		t.Errorf("due: %v, want the sessions of minutes 3 and 4", due)
	}
	if again := e.due(now.Add(4*time.Minute + time.Second)); len(again) != 0 {
		t.Error("due twice")
	}
	e.forget(sessions[1]) // no matter
	if rest := e.due(now.Add(24 * time.Hour)); len(rest) != 2 || len(e.items) != 0 {
		t.Errorf("%d due at last, %d items left; want 2 and 0", len(rest), len(e.items))
	}
}
