package main

import (
	"context"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// notifyManager tells systemd state, that the broker is stopping once ctx ends, and, with a watchdog,
// that it is alive. Once a newer process has taken over, it is that one's to tell. Without systemd it
// does nothing. stop returns when it has ended.
func notifyManager(ctx context.Context, log *zap.Logger, state string, released func() bool) (stop func()) {
	tell := func(state string) {
		if released() {
			return
		}
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("service manager not told", zap.String("state", state), zap.Error(err))
		}
	}
	tell(state)
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("watchdog not served", zap.Error(err))
	}
	every := time.Hour
	if interval > 0 {
		every = interval / 3
	}
	done := make(chan struct{})
	var joined sync.WaitGroup
	joined.Go(func() { // ends with stop
		tick := time.NewTicker(every)
		defer tick.Stop()
		stopping := ctx.Done()
		for {
			select {
			case <-tick.C:
				if interval > 0 {
					tell(daemon.SdNotifyWatchdog)
				}
			case <-stopping:
				tell(daemon.SdNotifyStopping)
				stopping = nil
			case <-done:
				return
			}
		}
	})
	return func() { close(done); joined.Wait() }
}
