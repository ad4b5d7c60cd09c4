package audit

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync makes f's bytes and size durable, without its times.
func datasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
