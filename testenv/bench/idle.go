package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

// storm measures the seconds that n logins take, each with one query, 64 at a time; the clients stay
// until the last has come.
func storm(n int) work {
	return func(w *world, p *proxy) (sample, error) {
		began := time.Now()
		clients, err := w.connect(p, n)
		took := time.Since(began)
		closeAll(clients)
		return sample{value: took.Seconds()}, err
	}
}

// idleMemory measures the proxy's memory per idle client, in KB.
func idleMemory(n int) work {
	return func(w *world, p *proxy) (sample, error) {
		before, err := p.memory()
		if err != nil {
			return sample{}, err
		}
		var clients []*pgconn.PgConn
		defer func() { closeAll(clients) }()
		points := []point{{0, before}}
		for range growthSteps {
			more, err := w.connect(p, n/growthSteps)
			clients = append(clients, more...)
			if err != nil {
				return sample{}, err
			}
			time.Sleep(rest) // a figure at rest: buffers go back, the collector runs
			kb, err := p.memory()
			if err != nil {
				return sample{}, err
			}
			points = append(points, point{len(clients), kb})
		}
		w.growth[p.name] = points
		after := points[len(points)-1]
		return sample{value: float64(after.KB-before) / float64(after.Clients)}, nil
	}
}

// growthSteps is in how many steps the idle clients come, and rest how long a proxy has after each.
const (
	growthSteps = 5
	rest        = 5 * time.Second
)

// besideIdle measures what share of its throughput a proxy keeps for 16 active clients when n idle
// ones are there.
func besideIdle(n int) work {
	return func(w *world, p *proxy) (sample, error) {
		active := pgbench("-S", "-M", "simple", "-c", "16", "-j", "2")
		alone, err := active(w, p)
		if err != nil {
			return sample{}, err
		}
		clients, err := w.connect(p, n)
		defer closeAll(clients)
		if err != nil {
			return sample{}, err
		}
		beside, err := active(w, p)
		return sample{value: beside.value / alone.value}, err
	}
}

// connect logs n clients in, each with one query.
func (w *world) connect(p *proxy, n int) ([]*pgconn.PgConn, error) {
	cfg, err := w.clientConfig(p)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var clients []*pgconn.PgConn
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(64)
	for range n {
		g.Go(func() error {
			c, err := pgconn.ConnectConfig(ctx, cfg)
			if err != nil {
				return err
			}
			mu.Lock()
			clients = append(clients, c)
			mu.Unlock()
			_, err = c.Exec(ctx, "select 1").ReadAll()
			return err
		})
	}
	return clients, g.Wait()
}

func (w *world) clientConfig(p *proxy) (*pgconn.Config, error) {
	cert, err := tls.LoadX509KeyPair(w.file("bench.crt"), w.file("bench.key"))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(w.file("servers-ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("no CA certificate")
	}
	cfg, err := pgconn.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%d user=bench dbname=bench sslmode=require", p.port))
	if err != nil {
		return nil, err
	}
	cfg.Fallbacks = nil
	cfg.TLSConfig = &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
	return cfg, nil
}

// closeAll closes the clients, many at a time.
func closeAll(clients []*pgconn.PgConn) {
	var g errgroup.Group
	g.SetLimit(64)
	for _, c := range clients {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			return c.Close(ctx)
		})
	}
	g.Wait()
}
