package downstream

import (
	"bytes"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// longSlice is the time slice that a thread asks for which gives way, the longest that Linux allows. From
// 6.12 on a thread that wakes and has a shorter one takes the processor from it at once, and it loses
// nothing of its share; unlike a lower priority anybody may ask for it and take it back.
const longSlice = 100 * time.Millisecond

// keepPolicy is SCHED_FLAG_KEEP_POLICY of sched_setattr(2).
const keepPolicy = 0x08

// giveWay binds the goroutine to its thread, and has that give way to others. It reports whether it has:
// then goOn is to follow.
func giveWay() bool {
	if filtered() {
		return false
	}
	runtime.LockOSThread()
	if setSlice(longSlice) != nil {
		runtime.UnlockOSThread()
		return false
	}
	return true
}

// goOn ends what giveWay began.
func goOn() {
	_ = setSlice(0) // the system's own; it may be asked for whenever another may
	runtime.UnlockOSThread()
}

// filtered says whether the process is under a filter of system calls (seccomp(2)), as in a container. Such a
// filter may end the process for a call that it does not know, and cannot be asked.
var filtered = sync.OnceValue(func() bool {
	status, err := os.ReadFile("/proc/self/status")
	return err != nil || !bytes.Contains(status, []byte("\nSeccomp:\t0\n"))
})

// setSlice sets the slice of this thread and nothing else.
func setSlice(d time.Duration) error {
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return err
	}
	attr.Runtime, attr.Flags = uint64(d), attr.Flags|keepPolicy
	return unix.SchedSetAttr(0, attr, 0)
}
