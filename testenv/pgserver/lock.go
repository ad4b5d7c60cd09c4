package pgserver

import (
	"fmt"
	"os"
	"syscall"
)

// lockFile waits until this process alone holds the lock of path, which it creates. The kernel
// gives the lock back when the process dies. Blocks without a limit: holders are bounded themselves.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
