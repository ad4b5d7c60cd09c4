package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// stopMargin is what a drain may take beyond shutdown.drain_timeout: to close the pools and sign the audit.
const stopMargin = 15 * time.Second

// manager is the service manager, systemd, that is told how the broker is. Without one it does nothing. Once
// a newer process has taken over, it is that one's to tell.
type manager struct {
	log      *zap.Logger
	released func() bool
	alive    func()        // returns, unless the broker hangs
	drain    time.Duration // longest that a stop may take; systemd would end the process after TimeoutStopSec

	ready atomic.Bool
}

func (m *manager) tell(state string) {
	if m.released() {
		return
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.Warn("service manager not told", zap.String("state", state), zap.Error(err))
	}
}

// reloading tells that a reload begins, and done, that it has ended. systemctl status shows how.
func (m *manager) reloading() (done func(error)) {
	if !m.ready.Load() {
		return func(error) {}
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		m.log.Warn("monotonic clock not read", zap.Error(err))
	}
	m.tell(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
	return func(err error) {
		at := time.Now().UTC().Format(time.DateTime)
		status := "serving; configuration reloaded " + at + " UTC"
		if err != nil {
			status = "serving with the configuration before; a reload failed " + at + " UTC, the log says why"
		}
		m.tell(daemon.SdNotifyReady + "\nSTATUS=" + status)
	}
}

// run tells state, that the broker is stopping once ctx ends, and, with a watchdog, that it is alive for as
// long as it is. It returns when served is closed.
func (m *manager) run(ctx context.Context, state string, served <-chan struct{}) {
	m.tell(state + "\nSTATUS=serving")
	m.ready.Store(true)
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		m.log.Warn("watchdog not served", zap.Error(err))
	}
	every := time.Hour
	if interval > 0 {
		every = interval / 3
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	answered := make(chan struct{}, 1)
	var asking sync.WaitGroup
	defer asking.Wait()
	asked := false
	for stopping := ctx.Done(); ; {
		select {
		case <-tick.C:
			if interval == 0 {
				continue
			}
			if asked {
				m.log.Error("the broker hangs: watchdog not told", zap.Duration("interval", interval))
				continue
			}
			asked = true
			asking.Go(func() { m.alive(); answered <- struct{}{} }) // ends unless the broker hangs
		case <-answered:
			asked = false
			m.tell(daemon.SdNotifyWatchdog)
		case <-stopping:
			m.ready.Store(false)
			m.tell(fmt.Sprintf("%s\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=%d", daemon.SdNotifyStopping, (m.drain + stopMargin).Microseconds()))
			stopping = nil
		case <-served:
			return
		}
	}
}
