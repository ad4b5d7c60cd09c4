//go:build !linux

package sock

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// setUserTimeout does nothing: the option is Linux's. Keepalive ends dead connections here.
func setUserTimeout(*net.TCPConn, time.Duration) error { return nil }

// SharePort fails: what other systems call SO_REUSEPORT does not spread connections.
func SharePort(_, _ string, _ syscall.RawConn) error {
	return errors.New("reuse_port works on Linux only")
}
