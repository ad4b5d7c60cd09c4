package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// A driver is a process of its own that holds clients: their descriptors do not add up with the
// bench's, and what they cost is nobody's but theirs. It is this program, called with driveCommand, the
// folder of certificates and a port; orders come as lines of JSON, and each is answered by one.
const driveCommand = "drive"

// order is what the bench asks of a driver: to log clients in, or to have them work.
type order struct {
	// Add is how many clients log in, at most Lanes at a time, each with one query. Users log in by
	// turns.
	Add   int
	Users []string
	// Work is for how long the clients run queries, Lanes at a time, each client in its turn.
	Work  time.Duration
	Lanes int
}

// answer is what came of an order. Error is "" when all went well.
type answer struct {
	Took    time.Duration `json:"-"` // as who gave the order has seen it
	Queries int           // of Work
	Middle  time.Duration // median time of a query
	P99     time.Duration // 99 in 100 queries took no longer
	Error   string
}

// drive serves orders until its input ends, then says goodbye to all.
func drive(dir, port string, in io.Reader, out io.Writer) error {
	d := &driver{dir: dir, addr: "127.0.0.1:" + port, certs: make(map[string]*tls.Config)}
	if err := d.trust(); err != nil {
		return err
	}
	defer d.leave()
	decoder, encoder := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o order
		if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		a := answer{}
		if err := d.obey(&o, &a); err != nil {
			a.Error = err.Error()
		}
		if err := encoder.Encode(&a); err != nil {
			return err
		}
	}
}

type driver struct {
	dir, addr string
	roots     *x509.CertPool
	certs     map[string]*tls.Config // by user
	clients   []*client
}

func (d *driver) trust() error {
	ca, err := os.ReadFile(filepath.Join(d.dir, "servers-ca.crt"))
	if err != nil {
		return err
	}
	if d.roots = x509.NewCertPool(); !d.roots.AppendCertsFromPEM(ca) {
		return errors.New("no CA certificate")
	}
	return nil
}

// config is what the clients of one user share.
func (d *driver) config(user string) (*tls.Config, error) {
	if cfg := d.certs[user]; cfg != nil {
		return cfg, nil
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(d.dir, user+".crt"), filepath.Join(d.dir, user+".key"))
	if err != nil {
		return nil, err
	}
	d.certs[user] = &tls.Config{RootCAs: d.roots, ServerName: "localhost", Certificates: []tls.Certificate{cert},
		MinVersion: tls.VersionTLS13, DynamicRecordSizingDisabled: true}
	return d.certs[user], nil
}

func (d *driver) obey(o *order, a *answer) error {
	if o.Work > 0 {
		return d.work(o, a)
	}
	return d.add(o)
}

// add logs clients in. Those that came before an error stay.
func (d *driver) add(o *order) error {
	cfgs := make([]*tls.Config, len(o.Users))
	for i, user := range o.Users {
		var err error
		if cfgs[i], err = d.config(user); err != nil {
			return err
		}
	}
	came := make([]*client, o.Add)
	err := lanes(o.Lanes, func(next func() int) error {
		in := bufio.NewReaderSize(nil, 4<<10)
		for i := next(); i < o.Add; i = next() {
			who := i % len(o.Users)
			c, err := logIn(d.addr, o.Users[who], cfgs[who])
			if err != nil {
				return err
			}
			came[i] = c
			if err := c.query("select 1", in); err != nil {
				return fmt.Errorf("first query: %w", err)
			}
		}
		return nil
	})
	d.clients = append(d.clients, slices.DeleteFunc(came, func(c *client) bool { return c == nil })...)
	return err
}

// work has the clients run pgbench's -S query in turn.
func (d *driver) work(o *order, a *answer) error {
	var mu sync.Mutex
	var times []time.Duration
	end := time.Now().Add(o.Work)
	err := lanes(o.Lanes, func(next func() int) error {
		in := bufio.NewReaderSize(nil, 4<<10)
		var mine []time.Duration
		// Each lane has clients of its own, so that no two use one at once.
		for i := next(); ; i += o.Lanes {
			began := time.Now()
			if began.After(end) {
				break
			}
			c := d.clients[i%(len(d.clients)/o.Lanes*o.Lanes)]
			if err := c.query(fmt.Sprintf("SELECT abalance FROM pgbench_accounts WHERE aid = %d", 1+i*7919%100_000), in); err != nil {
				return err
			}
			mine = append(mine, time.Since(began))
		}
		mu.Lock()
		defer mu.Unlock()
		times = append(times, mine...)
		return nil
	})
	if a.Queries = len(times); a.Queries > 0 {
		slices.Sort(times)
		a.Middle, a.P99 = times[a.Queries/2], times[a.Queries*99/100]
	}
	return err
}

// lanes runs n goroutines that share one count from 0, to the end of all of them, and returns the first
// error.
func lanes(n int, run func(next func() int) error) error {
	var count atomic.Int64
	next := func() int { return int(count.Add(1)) - 1 }
	var g errgroup.Group
	for range n {
		g.Go(func() error { return run(next) })
	}
	return g.Wait()
}

func (d *driver) leave() {
	lanes(64, func(next func() int) error {
		for i := next(); i < len(d.clients); i = next() {
			d.clients[i].close()
		}
		return nil
	})
}
