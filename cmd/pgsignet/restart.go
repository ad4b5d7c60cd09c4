package main

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/pgsignet/pgsignet/broker/config"
)

// needsRestart refuses a configuration that only a new process can serve: sockets are opened and
// closed at start and end alone, and to pretend otherwise would leave one open that the file has not.
func needsRestart(old, next *config.Config) error {
	before := listenersByName(old)
	var errs []error
	for i := range next.Listeners {
		is := &next.Listeners[i]
		was := before[is.Name]
		delete(before, is.Name)
		switch {
		case was == nil:
			errs = append(errs, fmt.Errorf("listener %q is new: that needs a restart", is.Name))
		case was.Address != is.Address || was.Socket != is.Socket:
			errs = append(errs, fmt.Errorf("listener %q has another address: that needs a restart", is.Name))
		case workloadAddress(was) != workloadAddress(is):
			errs = append(errs, fmt.Errorf("listener %q has another workload_api: that needs a restart", is.Name))
		}
	}
	for name := range before {
		errs = append(errs, fmt.Errorf("listener %q was taken out: that needs a restart", name))
	}
	return errors.Join(errs...)
}

func listenersByName(cfg *config.Config) map[string]*config.Listener {
	all := make(map[string]*config.Listener)
	for i := range cfg.Listeners {
		all[cfg.Listeners[i].Name] = &cfg.Listeners[i]
	}
	return all
}

// atNextStart lists the settings that differ and that a running process does not take up.
func atNextStart(old, next *config.Config) []string {
	var list []string
	differ := func(name string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			list = append(list, name)
		}
	}
	differ("node", old.Node, next.Node)
	differ("runtime_dir", old.RuntimeDir, next.RuntimeDir)
	differ("audit", old.Audit, next.Audit)
	differ("admin", old.Admin, next.Admin)
	differ("log", old.Log, next.Log)
	differ("shutdown", old.Shutdown, next.Shutdown)
	before := listenersByName(old)
	for i := range next.Listeners {
		is := &next.Listeners[i]
		if was := before[is.Name]; was != nil {
			differ(fmt.Sprintf("listener %q: limits, timeouts, reuse_port, proxy_protocol, plaintext_cancel or admin", is.Name), fixed(*was), fixed(*is))
		}
	}
	return list
}

// fixed is a listener without what a reload puts in force.
func fixed(l config.Listener) config.Listener {
	l.CertFile, l.KeyFile, l.ClientCA, l.SPIFFE = "", "", nil, nil
	l.CRL, l.CRLPolicy, l.CRLGrace, l.OCSP = nil, "", 0, ""
	l.MinTLS, l.SessionTickets, l.OCSPStaple = 0, false, false
	l.OnExpiry, l.ExpiryNotice = "", 0
	return l
}
