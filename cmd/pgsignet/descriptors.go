package main

import (
	"fmt"
	"syscall"
)

// checkDescriptors fails when this process may not open as many files as its limits allow clients
// and servers to need (W88). Go has raised the soft limit to the hard one already.
func checkDescriptors(needed int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("RLIMIT_NOFILE: %w", err)
	}
	if limit.Cur >= uint64(needed) {
		return nil
	}
	return fmt.Errorf("RLIMIT_NOFILE allows %d open files, and the configured limits may need %d "+
		"(max_clients and half_open of every listener, twice max_connections of every upstream, 64 more): "+
		"raise it (LimitNOFILE= of the unit, ulimit -n) or lower them", limit.Cur, needed)
}
