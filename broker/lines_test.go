package broker

import (
	"testing"
	"time"
)

// A flood of one reason neither fills the log nor keeps another reason out of it, and is told of by its number.
func TestLinesOfAFloodAreHeldBack(t *testing.T) {
	var l lines
	now := time.Unix(1000, 0)
	written := 0
	for range 10 * maxLines {
		if l.may(kindOf{"session refused", "tls"}, now) {
			written++
		}
	}
	if written != maxLines {
		t.Errorf("%d lines are written, want %d", written, maxLines)
	}
	if !l.may(kindOf{"session refused", "no_map"}, now) {
		t.Error("another reason is held back, too")
	}
	if held := l.over(now); held != nil {
		t.Errorf("told before the second is over: %v", held)
	}
	held := l.over(now.Add(time.Second))
	if len(held) != 1 || held[0].reason != "tls" || held[0].n != 9*maxLines {
		t.Errorf("held back %v, want %d of tls", held, 9*maxLines)
	}
	if !l.may(kindOf{"session refused", "tls"}, now.Add(time.Second)) || l.over(now.Add(2*time.Second)) != nil {
		t.Error("the next second does not begin anew")
	}
}
