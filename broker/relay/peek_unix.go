package relay

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// pendingInput says whether an idle connection has bytes waiting, or has ended: in both cases it
// must not be handed out. It reads nothing. A connection that cannot be asked counts as quiet: its
// reader will find out.
func pendingInput(c net.Conn) bool {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	if p, ok := c.(interface{ Pending() bool }); ok {
		return p.Pending()
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	pending := true
	if err := raw.Control(func(fd uintptr) {
		var one [1]byte
		_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		pending = err != unix.EAGAIN && err != unix.EWOULDBLOCK
	}); err != nil {
		return true
	}
	return pending
}
