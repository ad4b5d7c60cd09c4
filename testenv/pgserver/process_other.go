//go:build !linux

package pgserver

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// bindToParent does nothing here: the guard ends the server when our process dies.
func bindToParent(*exec.Cmd) {}

// childrenOf lists the processes a postmaster has started, its backends and helpers.
func childrenOf(pid int) []int {
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	if err != nil {
		return nil
	}
	var children []int
	for _, field := range strings.Fields(string(out)) {
		if child, err := strconv.Atoi(field); err == nil {
			children = append(children, child)
		}
	}
	return children
}

// adoptOrphans does nothing here: process 1 reaps them.
func adoptOrphans() (stop func()) { return func() {} }

// reap does nothing here.
func reap(int) {}

// alive says whether pid runs.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// removeSharedMemory frees a System V segment that a killed postmaster left.
func removeSharedMemory(id int) { _ = exec.Command("ipcrm", "-m", strconv.Itoa(id)).Run() }
