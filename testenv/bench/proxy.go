package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// proxy is a running PgBouncer or broker.
type proxy struct {
	name string
	kind string // of configuration
	port int
	cmd  *exec.Cmd
	log  bytes.Buffer
}

// start runs one of the proxies in one of its configurations.
func (w *world) start(ctx context.Context, name, kind string) (p *proxy, err error) {
	if name == "PgBouncer" {
		p, err = w.startPgBouncer(ctx, kind)
	} else {
		p, err = w.startBroker(ctx, kind)
	}
	if err == nil {
		p.kind = kind
	}
	return p, err
}

func (w *world) startBroker(ctx context.Context, kind string) (*proxy, error) {
	port, err := pgserver.FreePort()
	if err != nil {
		return nil, err
	}
	path, err := w.writeBrokerConfig(kind, port)
	if err != nil {
		return nil, err
	}
	return startProgram(ctx, "pgsignet", port, exec.Command(w.settings.bin, "serve", "--config", path))
}

func (w *world) startPgBouncer(ctx context.Context, kind string) (*proxy, error) {
	port, err := pgserver.FreePort()
	if err != nil {
		return nil, err
	}
	path, err := w.writeBouncerConfig(kind, port)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(w.pgbouncer, path)
	cmd.Dir = w.dir
	if cred, err := unprivileged(); err != nil {
		return nil, err
	} else if cred != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	}
	return startProgram(ctx, "PgBouncer", port, cmd)
}

// unprivileged is who runs PgBouncer, which refuses root; nil when we are not root.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, _ := strconv.ParseUint(u.Uid, 10, 32)
			gid, _ := strconv.ParseUint(u.Gid, 10, 32)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("neither postgres nor nobody is a user of this machine")
}

// giveAway copies key files to bouncer-NAME, owned by the user that runs PgBouncer.
func (w *world) giveAway(names ...string) error {
	cred, err := unprivileged()
	if err != nil {
		return err
	}
	for _, name := range names {
		data, err := os.ReadFile(w.file(name))
		if err != nil {
			return err
		}
		to := w.file("bouncer-" + name)
		if err := os.WriteFile(to, data, 0o600); err != nil {
			return err
		}
		if cred == nil {
			continue
		}
		if err := os.Chown(to, int(cred.Uid), int(cred.Gid)); err != nil {
			return err
		}
	}
	return nil
}

// startProgram runs the program and waits until it accepts.
func startProgram(ctx context.Context, name string, port int, cmd *exec.Cmd) (*proxy, error) {
	p := &proxy{name: name, port: port, cmd: cmd}
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for ctx.Err() == nil && time.Now().Before(deadline) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
			return p, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.stop()
	return nil, fmt.Errorf("%s does not accept connections:\n%s", name, &p.log)
}

// lastWords stops the program and returns the end of what it has logged.
func (p *proxy) lastWords() string {
	p.stop()
	text := bytes.TrimSpace(p.log.Bytes())
	return string(text[max(0, len(text)-500):])
}

// stop ends the program at once: nobody has a session any more.
func (p *proxy) stop() {
	p.cmd.Process.Signal(syscall.SIGKILL)
	p.cmd.Wait()
}

// clockTick is the unit of /proc/PID/stat's times: USER_HZ, 100 on every Linux.
const clockTick = time.Second / 100

// cpu is the user and system time that the program has used (proc(5), fields 14 and 15).
func (p *proxy) cpu() time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	utime, _ := strconv.ParseInt(fields[11], 10, 64)
	stime, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(utime+stime) * clockTick
}

// load is the share of one processor that the program uses over so long.
func (p *proxy) load(long time.Duration) float64 {
	before := p.cpu()
	time.Sleep(long)
	return float64(p.cpu()-before) / float64(long)
}

// memory is the program's resident set in KB (VmRSS of proc(5)).
func (p *proxy) memory() (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("no VmRSS in /proc/%d/status", p.cmd.Process.Pid)
}
