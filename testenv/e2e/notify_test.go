package e2e

import (
	"net"
	"strings"
	"testing"
	"time"
)

// serviceManager stands in for systemd: brokers that start behind it tell it how they are.
type serviceManager struct {
	t      *testing.T
	socket *net.UnixConn
	told   []string // so far
}

// newServiceManager listens, and has the environment of what is started from now on say so.
func newServiceManager(t *testing.T) *serviceManager {
	t.Helper()
	path := socketPath(t)
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	socket.SetReadDeadline(time.Now().Add(StopLimit))
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "300000")
	return &serviceManager{t: t, socket: socket}
}

// hear waits until it is told something that begins with want, and returns that.
func (m *serviceManager) hear(want string) string {
	m.t.Helper()
	buf := make([]byte, 256)
	for {
		n, err := m.socket.Read(buf)
		if err != nil {
			m.t.Fatalf("told %q, then %v, and not %s", m.told, err, want)
		}
		said := string(buf[:n])
		if m.told = append(m.told, said); strings.HasPrefix(said, want) {
			return said
		}
	}
}
