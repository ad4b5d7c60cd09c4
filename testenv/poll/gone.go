package poll

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Gone waits until no goroutines are left but those that the options of goleak name, and says after a minute which
// are. goleak itself waits less than half a second, for which a machine may stand still. It blocks.
func Gone(but ...goleak.Option) (err error) {
	for deadline := time.Now().Add(patience); ; {
		if err = goleak.Find(but...); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// Main runs a binary's tests, of which no goroutine may be left, and returns its exit status: os.Exit(poll.Main(m)).
func Main(m *testing.M) int {
	code := m.Run()
	if code == 0 {
		if err := Gone(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}
