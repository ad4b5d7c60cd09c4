package downstream

import (
	"net"
	"time"

	"github.com/pgsignet/pgsignet/broker/sock"
)

// userTimeout is how long sent bytes may stay unacknowledged when no write timeout says it.
const userTimeout = time.Minute

// setOptions sets the TCP options of a client's socket.
func setOptions(conn net.Conn, writeTimeout time.Duration) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	if writeTimeout <= 0 {
		writeTimeout = userTimeout
	}
	sock.SetOptions(tcp, writeTimeout)
}
