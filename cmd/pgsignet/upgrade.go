package main

import (
	"os"
	"os/exec"
	"strings"

	"go.uber.org/zap"
)

// upgrade is SIGUSR2: it starts the program anew, from its file as it is now and with the same
// arguments. The new process takes over by itself when it is ready; if it is never, nothing changes.
func (p *process) upgrade() {
	switch {
	case p.cfg.RuntimeDir == "":
		p.log.Error("no upgrade without runtime_dir")
		return
	case p.server.Released():
		p.log.Warn("no upgrade: a new process has taken over already")
		return
	}
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		p.log.Error("no upgrade", zap.Error(err))
		return
	}
	cmd := exec.Command(path, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = upgradeEnvironment(os.Environ())
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		p.log.Error("no upgrade", zap.Error(err))
		return
	}
	p.log.Info("new process started", zap.Int("pid", cmd.Process.Pid))
	go func() { // ends with the new process, which usually outlives this one
		if err := cmd.Wait(); err != nil && !p.server.Released() {
			p.log.Error("new process ended without taking over, this one serves on", zap.Error(err))
		}
	}()
}

// upgradeEnvironment is the new process's: without what the service manager has said of the sockets and
// the process id of this one.
func upgradeEnvironment(env []string) (kept []string) {
	for _, v := range env {
		switch name, _, _ := strings.Cut(v, "="); name {
		case "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID":
		default:
			kept = append(kept, v)
		}
	}
	return kept
}
