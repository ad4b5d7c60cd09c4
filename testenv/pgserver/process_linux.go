package pgserver

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindToParent ends the postmaster, and with it its backends, when our process dies: SIGQUIT is
// PostgreSQL's immediate shutdown.
func bindToParent(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT }

// childrenOf lists the processes a postmaster has started, its backends and helpers.
func childrenOf(pid int) []int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var children []int
	for _, field := range strings.Fields(string(data)) {
		if child, err := strconv.Atoi(field); err == nil {
			children = append(children, child)
		}
	}
	return children
}

// adoptOrphans makes processes whose parent dies our children until the returned function runs, so
// that the backends of a killed postmaster can be reaped (see reap) wherever process 1 does not.
func adoptOrphans() (stop func()) {
	set := func(on uintptr) { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, on, 0, 0, 0) }
	set(1)
	return func() { set(0) }
}

// reap collects pid if it is a dead child of ours.
func reap(pid int) { _, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) }

// alive says whether pid runs. A dead process nobody has reaped yet does not.
func alive(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// removeSharedMemory frees a System V segment that a killed postmaster left.
func removeSharedMemory(id int) {
	const ipcRMID = 0
	_, _, _ = syscall.Syscall(syscall.SYS_SHMCTL, uintptr(id), ipcRMID, 0) // gone already: as good
}
