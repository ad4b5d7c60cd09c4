package sock

import (
	"net"
	"time"
)

// SetOptions sets what a proxy wants of a TCP connection (W86): nothing is held back, keepalive finds a
// dead peer that is idle within two minutes, while a NAT that forgets idle flows after five stays awake,
// and sent bytes stay unacknowledged for timeout at most: without that a peer whose network died holds
// its session for a quarter of an hour. Errors mean that the socket is gone, which the next read reports.
// TCP_NODELAY is package net's own default.
func SetOptions(conn *net.TCPConn, timeout time.Duration) {
	_ = conn.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4})
	_ = setUserTimeout(conn, timeout)
}
