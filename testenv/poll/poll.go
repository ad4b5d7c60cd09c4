// Package poll waits in tests for what other goroutines and processes bring about.
//
// It asserts nothing else, and knows nothing of what it waits for.
package poll

import (
	"testing"
	"time"
)

// patience is how long a condition may take on a machine that is busy with other things.
const patience = time.Minute

// Until asks ok every few milliseconds until it says yes. After a minute the test ends with what, the words
// for what did not come. It blocks; call it in the test's own goroutine.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for: %s", patience, what)
		}
	}
}
