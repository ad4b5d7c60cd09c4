package downstream

import (
	"net"
	"time"
)

// keepAlive finds a dead idle client within two minutes; a NAT that forgets idle flows after five
// stays awake (W86).
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4}

// userTimeout is how long sent bytes may stay unacknowledged when no write timeout says it.
const userTimeout = time.Minute

// setOptions sets the TCP options of a client's socket. Errors mean that the socket is gone, which
// the next read reports.
func setOptions(conn net.Conn, writeTimeout time.Duration) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	_ = tcp.SetNoDelay(true)
	_ = tcp.SetKeepAliveConfig(keepAlive)
	if writeTimeout <= 0 {
		writeTimeout = userTimeout
	}
	_ = setUserTimeout(tcp, writeTimeout)
}
