package poll

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// A goroutine that is on its way out is waited for, for longer than goleak does.
func TestGoneWaits(t *testing.T) {
	before := goleak.IgnoreCurrent()
	leaves := make(chan struct{})
	go func() { <-leaves }()
	time.AfterFunc(time.Second, func() { close(leaves) })
	if goleak.Find(before) == nil {
		t.Skip("the machine stood still for a second")
	}
	if err := Gone(before); err != nil {
		t.Error(err)
	}
}
