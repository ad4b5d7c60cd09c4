package broker

import (
	"sync"
	"testing"
	"time"
)

// The watchdog's question is answered only while nothing that logins pass through hangs.
func TestAliveWaitsForEveryLock(t *testing.T) {
	l := newLab(t, 1, nil)
	s := l.server
	for name, mu := range map[string]sync.Locker{
		"listener": &s.doors[0].mu, "sessions": &s.live.mu, "cancel keys": &s.keys.mu, "limits": &s.count.mu,
	} {
		t.Run(name, func(t *testing.T) {
			mu.Lock()
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				s.Alive()
			}()
			select {
			case <-answered:
				t.Error("alive, though a lock is held")
			case <-time.After(50 * time.Millisecond): // had it gone past the lock, it would have answered in microseconds
			}
			mu.Unlock()
			<-answered
		})
	}
}
