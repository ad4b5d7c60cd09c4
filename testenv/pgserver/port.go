package pgserver

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
)

// FreePort is a port of 127.0.0.1 that nobody listens on. The kernel gives it to nobody who connects, or listens on
// any port, so that it is still free when the caller's program binds it, and when that binds it again after a restart.
func FreePort() (int, error) {
	const first = 1 << 13
	last := first // of those that the kernel gives to nobody; none where it does not say
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		fmt.Sscan(string(text), &last)
	}
	for tries := 100; tries > 0 && last > first; tries-- {
		if port := first + rand.IntN(last-first); listens(port) == port {
			return port, nil
		}
	}
	if port := listens(0); port > 0 {
		return port, nil
	}
	return 0, fmt.Errorf("no free port on 127.0.0.1")
}

// listens is the port that a listener on port had, or 0.
func listens(port int) int {
	l, err := net.Listen("tcp4", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		return 0
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
