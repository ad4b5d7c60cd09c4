package main

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// A broker that hangs is not called alive, so that systemd ends it and starts another; one that comes back is.
func TestWatchdogIsNotToldOfABrokerThatHangs(t *testing.T) {
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", socket.LocalAddr().String())
	t.Setenv("WATCHDOG_USEC", "30000")
	core, lines := observer.New(zapcore.InfoLevel)
	hanging := make(chan struct{})
	m := &manager{log: zap.New(core), released: func() bool { return false }, alive: func() { <-hanging }}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan struct{})
	var joined sync.WaitGroup
	joined.Go(func() { m.run(ctx, "READY=1", served) })
	defer joined.Wait()
	defer close(served)
	defer stop()

	hear := func() string {
		buf := make([]byte, 256)
		socket.SetReadDeadline(time.Now().Add(time.Minute))
		n, err := socket.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	if said := hear(); !strings.HasPrefix(said, "READY=1") {
		t.Fatalf("first told %q", said)
	}
	for lines.FilterMessage("the broker hangs: watchdog not told").Len() < 3 {
		time.Sleep(time.Millisecond)
	}
	m.tell("STATUS=so far")
	if said := hear(); said != "STATUS=so far" {
		t.Errorf("told %q of a broker that hangs", said)
	}
	close(hanging)
	if said := hear(); said != "WATCHDOG=1" {
		t.Errorf("told %q", said)
	}
}
