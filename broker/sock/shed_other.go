//go:build !linux

package sock

import (
	"net"
	"net/netip"
)

// Shed finds nothing: what has arrived is for Accept.
func Shed(*net.TCPListener, int, func(netip.Addr) bool) (net.Conn, error) { return nil, nil }
