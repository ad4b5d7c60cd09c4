package relay

import "net"

// pendingInput says whether an idle connection has bytes waiting, or has ended: in both cases it
// must not be handed out. It reads nothing. A connection that cannot be asked counts as quiet: its
// reader will find out.
func pendingInput(c net.Conn) bool {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	p, ok := c.(interface{ Pending() bool })
	return ok && p.Pending()
}
