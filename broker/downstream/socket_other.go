//go:build !linux

package downstream

import "net"

// unread reports nothing here: bytes stuffed behind a request are then found when the handshake
// does not begin with a TLS record.
func unread(net.Conn) bool { return false }

// hungUp is not known here: the next read tells.
func hungUp(net.Conn) bool { return false }
