package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"go.uber.org/zap"
)

// workSignals receives the signals that change nothing about whether serve goes on.
func workSignals() chan os.Signal {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	return signals
}

// handleSignals reloads on SIGHUP, starts a new process on SIGUSR2 and writes every goroutine's stack to
// stderr on SIGQUIT, until ctx ends. SIGUSR1 asks for log files to be opened anew (logrotate): the log is standard error, whose
// reader rotates it, so that nothing needs to be done.
func handleSignals(ctx context.Context, signals chan os.Signal, log *zap.Logger, stderr io.Writer, reload, upgrade func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-signals:
			switch sig {
			case syscall.SIGHUP:
				reload()
			case syscall.SIGUSR2:
				upgrade()
			case syscall.SIGQUIT:
				stderr.Write(stacks())
			case syscall.SIGUSR1:
				log.Info("log is standard error: nothing to open", zap.Stringer("signal", sig))
			}
		}
	}
}

// maxStacks bounds a dump, in bytes.
const maxStacks = 64 << 20

// stacks is a dump of all goroutines.
func stacks() []byte {
	for size := 1 << 20; ; size *= 2 {
		b := make([]byte, size)
		if n := runtime.Stack(b, true); n < size || size >= maxStacks {
			return append(b[:n], '\n')
		}
	}
}
