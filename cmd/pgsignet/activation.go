package main

import (
	"fmt"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/pgsignet/pgsignet/broker"
	"github.com/pgsignet/pgsignet/broker/config"
)

// inheritSockets gives each listener with `socket` the sockets that systemd has opened under that name
// (FileDescriptorName= of the unit). One that was not passed falls back on its address.
func inheritSockets(cfg *config.Config, listeners []broker.Listener) error {
	passed, err := activation.ListenersWithNames()
	if err != nil {
		return fmt.Errorf("sockets of the service manager: %w", err)
	}
	for i := range cfg.Listeners {
		l := &cfg.Listeners[i]
		if l.Socket == "" {
			continue
		}
		switch named := passed[l.Socket]; {
		case len(named) > 1:
			return fmt.Errorf("listener %q: the service manager passed %d sockets named %q, one is served", l.Name, len(named), l.Socket)
		case len(named) == 1:
			listeners[i].Net = named[0]
			delete(passed, l.Socket)
		case l.Address == "":
			return fmt.Errorf("listener %q: the service manager passed no socket named %q, and there is no address", l.Name, l.Socket)
		}
	}
	for name, rest := range passed {
		for _, l := range rest {
			if l != nil {
				l.Close()
			}
		}
		if name != "" {
			return fmt.Errorf("the service manager passed a socket named %q, and no listener takes it", name)
		}
	}
	return nil
}
