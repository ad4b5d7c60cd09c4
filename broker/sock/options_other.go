//go:build !linux

package sock

import (
	"net"
	"time"
)

// setUserTimeout does nothing: the option is Linux's. Keepalive ends dead connections here.
func setUserTimeout(*net.TCPConn, time.Duration) error { return nil }
