//go:build !linux || race

package sock

import "syscall"

// The race detector does not see through the kernel but for the calls of package syscall, which order
// what happened before a write before the read of what it wrote.

func readNow(fd uintptr, p []byte) (int, syscall.Errno) { return split(syscall.Read(int(fd), p)) }

func writeNow(fd uintptr, p []byte) (int, syscall.Errno) { return split(syscall.Write(int(fd), p)) }

func peekNow(fd uintptr, p []byte) error {
	_, _, err := syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err
}

func split(n int, err error) (int, syscall.Errno) {
	errno, _ := err.(syscall.Errno) // package syscall returns no other
	return n, errno
}
