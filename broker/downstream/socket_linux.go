package downstream

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unread reports whether bytes are waiting in the socket, without waiting for any.
func unread(conn net.Conn) bool {
	s, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, _ = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return true // whatever came of it, do not wait
	})
	return err == nil && n > 0
}

// hungUp reports whether the peer has closed its side, whatever it sent before. It reads nothing and
// does not wait, not even for a Read that is under way.
func hungUp(conn net.Conn) bool {
	s, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(polled, 0)
		gone = err == nil && n > 0
	})
	return err == nil && gone
}
