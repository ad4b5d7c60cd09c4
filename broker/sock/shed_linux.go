package sock

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"
)

// Shed accepts connections that have arrived at a listener, at most that many, and closes those of addresses that
// keepOut says. It returns the first that is not kept out, or nil. Nothing is made of the others: to accept and to
// close one costs two system calls, a third of what Accept and Close of package net cost. It does not wait.
func Shed(l *net.TCPListener, most int, keepOut func(netip.Addr) bool) (net.Conn, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	kept := -1
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		for ; most > 0; most-- {
			var conn uintptr
			var from netip.Addr
			if conn, from, errno = acceptNow(fd); errno != 0 {
				return
			}
			if !keepOut(from) {
				kept = int(conn)
				return
			}
			syscall.RawSyscall(syscall.SYS_CLOSE, conn, 0, 0)
		}
	})
	switch {
	case kept >= 0:
		return adopt(kept)
	case err != nil:
		return nil, err
	case errno == 0 || errno == syscall.EAGAIN || errno == syscall.EINTR || errno == syscall.ECONNABORTED:
		return nil, nil
	}
	return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: os.NewSyscallError("accept4", errno)}
}

// acceptNow accepts one connection, non-blocking and closed on exec, with the address of its peer.
func acceptNow(fd uintptr) (conn uintptr, from netip.Addr, errno syscall.Errno) {
	var sa syscall.RawSockaddrAny
	size := uint32(syscall.SizeofSockaddrAny)
	conn, _, errno = syscall.RawSyscall6(syscall.SYS_ACCEPT4, fd, uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)),
		syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return 0, netip.Addr{}, errno
	}
	switch sa.Addr.Family {
	case syscall.AF_INET:
		from = netip.AddrFrom4((*syscall.RawSockaddrInet4)(unsafe.Pointer(&sa)).Addr)
	case syscall.AF_INET6:
		from = netip.AddrFrom16((*syscall.RawSockaddrInet6)(unsafe.Pointer(&sa)).Addr)
	}
	return conn, from, 0
}

// adopt makes a connection of package net from an accepted socket.
func adopt(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "")
	defer f.Close() // net.FileConn has a duplicate
	return net.FileConn(f)
}
