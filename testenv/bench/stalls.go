package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// stallsJob is the attacker's job of finding out when the host of this virtual machine held a processor
// back. It is a process of its own, so that its threads have nothing else to do.
const stallsJob = "stalls"

// A real-time thread on each processor sleeps for stallNap. Nothing in this machine keeps it from waking
// in time but the host, or the kernel for some microseconds; late by stallLeast is a stall.
const (
	stallNap      = 500 * time.Microsecond
	stallLeast    = 500 * time.Microsecond
	stallPriority = 10
)

// stall is a time in which a processor did not run.
type stall struct{ from, to time.Time }

// hits is whether what was done from one time to another may have waited for the stall or, for as long as
// it took, for what had gathered during it.
func (s stall) hits(from, to time.Time) bool {
	return to.After(s.from) && from.Before(s.to.Add(s.to.Sub(s.from)))
}

// watchStalls starts the process that notes stalls.
func watchStalls() (*attacker, error) {
	a, line, err := startAttacker(stallsJob)
	if err == nil && line != "begun" {
		err = fmt.Errorf("stalls of the host can't be told: %s", line)
	}
	return a, err
}

// stalls ends the process and returns what it has noted, in no order.
func (a *attacker) stalls() (all []stall, err error) {
	a.in.Close()
	for {
		var from, to int64
		if _, err := fmt.Fscanln(a.said, &from, &to); err == io.EOF {
			return all, a.cmd.Wait()
		} else if err != nil {
			return nil, err
		}
		all = append(all, stall{time.Unix(0, from), time.Unix(0, to)})
	}
}

// stallsMain notes stalls until its standard input ends, and prints them: begin and end, nanoseconds of
// the Unix epoch.
func stallsMain() error {
	cpus := runtime.NumCPU()
	runtime.GOMAXPROCS(cpus + 2)
	stop := make(chan struct{})
	found := make([][]stall, cpus)
	var done sync.WaitGroup
	errs := make(chan error, cpus)
	for cpu := range cpus {
		done.Go(func() {
			err := becomeRealTime(cpu)
			errs <- err
			if err == nil {
				found[cpu] = noteStalls(stop)
			}
		})
	}
	for range cpus {
		if err := <-errs; err != nil {
			fmt.Println(err)
			return err
		}
	}
	fmt.Println("begun")
	io.Copy(io.Discard, os.Stdin)
	close(stop)
	done.Wait()
	out := bufio.NewWriter(os.Stdout)
	for _, stalls := range found {
		for _, s := range stalls {
			fmt.Fprintln(out, s.from.UnixNano(), s.to.UnixNano())
		}
	}
	return out.Flush()
}

// becomeRealTime keeps the goroutine on a thread that runs on one processor before all others.
func becomeRealTime(cpu int) error {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("processor %d: %w", cpu, err)
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: stallPriority}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return fmt.Errorf("real-time priority (CAP_SYS_NICE): %w", err)
	}
	return nil
}

func noteStalls(stop <-chan struct{}) (all []stall) {
	nap := unix.NsecToTimespec(int64(stallNap))
	due := time.Now().Add(stallNap)
	for {
		select {
		case <-stop:
			return all
		default:
		}
		if err := unix.Nanosleep(&nap, nil); err != nil && err != unix.EINTR {
			return all
		}
		now := time.Now()
		if now.Sub(due) > stallLeast {
			all = append(all, stall{due, now})
		}
		due = now.Add(stallNap)
	}
}
