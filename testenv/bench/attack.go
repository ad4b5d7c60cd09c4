package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attackJob is the variable that makes this program an attacker (PORT RATE HELLO), with "listen" a process
// that only accepts and closes, or with stallsJob one that notes when the host held a processor back.
const attackJob = "PGSIGNET_BENCH_ATTACK"

// attacker is a process of its own.
type attacker struct {
	cmd  *exec.Cmd
	in   io.Closer // it ends when this is closed
	said *bufio.Reader
	port int // it listens on, or 0
}

// attackReport is what an attacker has done and what that cost.
type attackReport struct {
	sent      int
	took, cpu time.Duration
}

func (r attackReport) String() string {
	if r.sent == 0 {
		return ""
	}
	return fmt.Sprintf(", the attacker %.2f for %.0f/s", r.cpu.Seconds()/r.took.Seconds(), float64(r.sent)/r.took.Seconds())
}

// attack sends hellos to a port of this machine, perSecond of them, until stop.
func attack(port, perSecond int, hello []byte) (*attacker, error) {
	a, _, err := startAttacker(fmt.Sprintf("%d %d %x", port, perSecond, hello))
	return a, err
}

// listenOnly starts a process that accepts connections and closes them.
func listenOnly() (*attacker, error) {
	a, port, err := startAttacker("listen")
	if err == nil {
		a.port, err = strconv.Atoi(port)
	}
	return a, err
}

// startAttacker starts this program again and returns the line that it begins with.
func startAttacker(job string) (_ *attacker, line string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), attackJob+"="+job)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	a := &attacker{cmd: cmd, in: in, said: bufio.NewReader(out)}
	line, err = a.said.ReadString('\n')
	return a, strings.TrimSpace(line), err
}

// stop ends the process and returns what it has done.
func (a *attacker) stop() (r attackReport, err error) {
	a.in.Close()
	_, err = fmt.Fscan(a.said, &r.sent, &r.took, &r.cpu)
	return r, errors.Join(err, a.cmd.Wait())
}

// attackMain is the attacker's main. It ends with its standard input.
func attackMain(job string) error {
	switch job {
	case "listen":
		return listenMain()
	case stallsJob:
		return stallsMain()
	}
	var port, perSecond int
	var hello []byte
	if _, err := fmt.Sscanf(job, "%d %d %x", &port, &perSecond, &hello); err != nil {
		return err
	}
	if err := yieldToAll(); err != nil {
		return err
	}
	fmt.Println("begun")
	stop := make(chan struct{})
	go func() { // ends with the process
		io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	began := time.Now()
	sent := barrage(port, perSecond, hello, stop)
	took := time.Since(began)
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return err
	}
	fmt.Println(sent, took.Nanoseconds(), used.Utime.Nano()+used.Stime.Nano())
	return nil
}

// yieldToAll lets every other process go first, at once: real attackers have machines of their own. Niceness
// would not do, for whoever has a processor may keep it for 3 ms whatever theirs. Threads to come inherit it.
func yieldToAll() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
		if err := unix.SchedSetAttr(tid, &attr, 0); err != nil {
			return fmt.Errorf("idle priority: %w", err)
		}
	}
	return nil
}

// attackHold is how long a connection of the attack is left half open.
const attackHold = time.Second

// barrage opens connections at a rate, sends the hello on each and reads nothing. It never blocks, and
// costs a system call each for socket, options, connect, write and, attackHold later, close.
func barrage(port, perSecond int, hello []byte, stop <-chan struct{}) (sent int) {
	type half struct {
		fd int
		at time.Time
	}
	var held []half
	began, tried := time.Now(), 0
	for {
		select {
		case <-stop:
			return sent
		case <-time.After(time.Millisecond):
		}
		now := time.Now()
		for len(held) > 0 && now.Sub(held[0].at) > attackHold {
			syscall.Close(held[0].fd)
			held = held[1:]
		}
		for due := int(now.Sub(began).Seconds() * float64(perSecond)); tried < due; tried++ {
			fd, err := shout(port, hello)
			if err == nil {
				sent++
			}
			if fd >= 0 {
				held = append(held, half{fd, now})
			}
		}
	}
}

// shout connects and sends; closing the socket will end the connection at once.
func shout(port int, hello []byte) (fd int, err error) {
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	if err != nil {
		return fd, err
	}
	err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: loopback})
	if err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		return fd, err
	}
	_, err = syscall.Write(fd, hello) // on the loopback it is connected by now
	return fd, err
}

var loopback = [4]byte{127, 0, 0, 1}

func listenMain() error {
	l, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(syscall.Bind(l, &syscall.SockaddrInet4{Addr: loopback}), syscall.Listen(l, syscall.SOMAXCONN)); err != nil {
		return err
	}
	addr, err := syscall.Getsockname(l)
	if err != nil {
		return err
	}
	fmt.Println(addr.(*syscall.SockaddrInet4).Port)
	go func() { // ends with the process
		for {
			if fd, _, err := syscall.Accept4(l, syscall.SOCK_CLOEXEC); err == nil {
				syscall.Close(fd)
			}
		}
	}()
	io.Copy(io.Discard, os.Stdin)
	fmt.Println(0, 0, 0)
	return nil
}
