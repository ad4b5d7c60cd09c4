package downstream_test

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgsignet/pgsignet/broker/downstream"
)

// W86: the options of an admitted client's socket, as the kernel has them.
func TestSocketOptions(t *testing.T) {
	for _, tt := range []struct {
		name         string
		writeTimeout time.Duration
		userTimeout  int // milliseconds
	}{
		{"write timeout", 7 * time.Second, 7000},
		{"without", 0, 60_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ours, theirs := pair(t)
			defer ours.Close()
			defer theirs.Close()
			if _, err := theirs.Write(cancelRequest); err != nil {
				t.Fatal(err)
			}
			cfg := &downstream.Config{WriteTimeout: tt.writeTimeout, PlaintextCancel: true}
			if _, _, err := downstream.Admit(context.Background(), ours, cfg); err != nil {
				t.Fatal(err)
			}
			for _, option := range []struct {
				name         string
				level, which int
				want         int
			}{
				{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
				{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
				{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60},
				{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
				{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4},
				{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, tt.userTimeout},
			} {
				if got := socketOption(t, ours.(*net.TCPConn), option.level, option.which); got != option.want {
					t.Errorf("%s is %d, want %d", option.name, got, option.want)
				}
			}
		})
	}
}

func socketOption(t *testing.T, conn *net.TCPConn, level, which int) (value int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { value, failed = unix.GetsockoptInt(int(fd), level, which) }); err != nil {
		t.Fatal(err)
	}
	if failed != nil {
		t.Fatal(failed)
	}
	return value
}
