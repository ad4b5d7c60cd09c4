package main

import "golang.org/x/sys/unix"

// noDump keeps what is in memory to this process: private keys, keys of TLS sessions, what clients send.
// The kernel writes no core dump of it, wherever those go, and no other process of the same user may
// trace it or read its memory (PR_SET_DUMPABLE of prctl(2), A120). root may. It also makes most of
// /proc/PID root's to others, not to the process itself; stat, status and limits stay readable.
func noDump() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
