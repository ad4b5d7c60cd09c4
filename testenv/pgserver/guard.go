package pgserver

import (
	"io"
	"os/exec"
	"syscall"
)

// guardScript waits for the end of its input, which comes when our process closes the pipe or
// dies in whatever way, kill -9 included. If the server's folder is still there, it ends that
// server and removes the folder. A pid is only signalled while it works in our data directory
// (where /proc can tell).
const guardScript = `
trap '' INT TERM HUP
dir=$1
read -r _
[ -d "$dir" ] || exit 0
ours() {
	[ ! -e "$dir/container" ] && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || return 1
	[ -e "/proc/$pid/cwd" ] || return 0
	[ "$(readlink "/proc/$pid/cwd")" = "$dir/data" ]
}
pid=$(sed -n 1p "$dir/data/postmaster.pid" 2>/dev/null)
shm=$(sed -n 7p "$dir/data/postmaster.pid" 2>/dev/null | awk '{print $2}')
ours && kill -QUIT "$pid"
n=0
while ours && [ $n -lt 100 ]; do sleep 0.05; n=$((n + 1)); done
ours && kill -KILL "$pid"
if [ -e "$dir/container" ]; then
	docker rm -f "$(cat "$dir/container")" >/dev/null 2>&1
elif [ -e "$dir/data/postmaster.pid" ] && [ -n "$shm" ]; then
	ipcrm -m "$shm" 2>/dev/null
fi
rm -rf "$dir" || { sleep 1; rm -rf "$dir"; }
`

// guard is a small shell that outlives us and tidies up if we could not.
type guard struct {
	cmd  *exec.Cmd
	pipe io.Closer
}

func startGuard(dir string) (*guard, error) {
	cmd := exec.Command("/bin/sh", "-c", guardScript, "pgserver-guard", dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // out of reach of a Ctrl-C
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &guard{cmd: cmd, pipe: pipe}, nil
}

// release lets the guard do what is left to do, and waits for it.
func (g *guard) release() error {
	if err := g.pipe.Close(); err != nil {
		return err
	}
	return g.cmd.Wait()
}
