//go:build !linux

package main

import "syscall"

// noDump has the system write no core dump of this process (A120).
func noDump() error { return syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }
