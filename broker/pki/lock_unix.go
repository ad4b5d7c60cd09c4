//go:build unix

package pki

import (
	"errors"
	"os"
	"syscall"
)

// locked runs f while no other process or goroutine changes this CA. The lock is on the key file, which
// is never replaced, and ends with the process. It waits for its turn.
func (ca *CA) locked(f func() error) error {
	file, err := os.Open(ca.KeyFile())
	if err != nil {
		return err
	}
	for {
		if err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		err = f()
	}
	return errors.Join(err, file.Close())
}
