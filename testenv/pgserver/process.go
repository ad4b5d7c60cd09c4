package pgserver

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
)

// process is a running postmaster. A goroutine of its own starts it and waits for it; done is
// closed when it has ended.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended; read after done

	// reaped guards against a signal for a pid that the kernel may have given away.
	mu     sync.Mutex
	reaped bool
}

// startProcess runs cmd until it ends. The kernel kills it when we die (bindToParent): that signal
// fires when the *thread* that started it ends, so one locked thread lives as long as the child.
func startProcess(cmd *exec.Cmd) (*process, error) {
	bindToParent(cmd)
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started) // ends with the child; whoever holds p waits for done
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

func (p *process) run(started chan<- error) {
	runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
	defer close(p.done)
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	p.mu.Lock()
	p.reaped = true
	p.mu.Unlock()
}

func (p *process) signal(sig os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = p.cmd.Process.Signal(sig) // the only error left is that it has just ended
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}
