package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// crowd is the clients of one proxy, split over driver processes.
type crowd struct {
	drivers []*handle
	n       int // clients
}

// handle is the bench's end of a driver.
type handle struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	enc *json.Encoder
	dec *json.Decoder
}

// loginLanes is how many logins of a crowd are under way at once.
const loginLanes = 64

// newCrowd starts that many driver processes for clients of p, without any client yet.
func (w *world) newCrowd(p *proxy, drivers int) (_ *crowd, err error) {
	c := &crowd{}
	defer func() {
		if err != nil {
			c.leave()
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for range drivers {
		h := &handle{cmd: exec.Command(self, driveCommand, w.dir, strconv.Itoa(p.port))}
		h.cmd.Stderr = os.Stderr
		if h.in, err = h.cmd.StdinPipe(); err != nil {
			return nil, err
		}
		out, err := h.cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := h.cmd.Start(); err != nil {
			return nil, err
		}
		h.enc, h.dec = json.NewEncoder(h.in), json.NewDecoder(out)
		c.drivers = append(c.drivers, h)
	}
	return c, nil
}

// add logs n more clients in, by turns as these users, and returns how long that took.
func (c *crowd) add(n int, users ...string) (time.Duration, error) {
	a, err := c.order(func(i, of int) *order {
		return &order{Add: share(n, i, of), Users: users, Lanes: max(1, loginLanes/of)}
	})
	if err == nil {
		c.n += n
	}
	return a.Took, err
}

// work has the clients run queries for so long, so many at a time.
func (c *crowd) work(lanes int, long time.Duration) (answer, error) {
	return c.order(func(i, of int) *order { return &order{Work: long, Lanes: share(lanes, i, of)} })
}

// share is the i-th of so many parts of n.
func share(n, i, of int) int { return n*(i+1)/of - n*i/of }

// order has all drivers do their part at once. Of a query's times the answer has the longest.
func (c *crowd) order(part func(i, of int) *order) (all answer, err error) {
	began := time.Now()
	stuck := time.AfterFunc(orderTimeout, c.kill)
	defer stuck.Stop()
	for i, h := range c.drivers {
		if err := h.enc.Encode(part(i, len(c.drivers))); err != nil {
			return answer{}, fmt.Errorf("driver: %w", err)
		}
	}
	var errs []error
	for _, h := range c.drivers {
		var a answer
		if err := h.dec.Decode(&a); err != nil {
			errs = append(errs, fmt.Errorf("driver: %w", err))
			continue
		}
		if a.Error != "" {
			errs = append(errs, errors.New(a.Error))
		}
		all.Queries += a.Queries
		all.Middle, all.P99 = max(all.Middle, a.Middle), max(all.P99, a.P99)
	}
	all.Took = time.Since(began)
	return all, errors.Join(errs...)
}

// orderTimeout is how long an order may take, in a bench that is to end whatever a proxy does.
const orderTimeout = 3 * time.Minute

func (c *crowd) kill() {
	for _, h := range c.drivers {
		h.cmd.Process.Kill()
	}
}

// leave ends the clients and their drivers.
func (c *crowd) leave() {
	for _, h := range c.drivers {
		h.in.Close()
	}
	stuck := time.AfterFunc(leaveTimeout, c.kill)
	defer stuck.Stop()
	for _, h := range c.drivers {
		h.cmd.Wait()
	}
}

// leaveTimeout is how long a driver has for saying goodbye.
const leaveTimeout = 20 * time.Second
