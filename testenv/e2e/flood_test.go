package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// What the test asserts ten times of: the p99 of established clients under a flood is less than twice
// that of quiet, which is taken as quietest at least since a busy machine adds as much to either; and a
// half-open connection takes memoryEach bytes of the broker's memory.
const (
	floodRatio = 2
	quietest   = 10 * time.Millisecond
	memoryEach = 8 << 10
	halfOpen   = 5000
)

// Beyond the limits of a door: established clients go on at their pace while others flood it with
// handshakes, three times as many as can be computed, and while 5 000 idle connections are half open,
// which take bounded memory.
func TestFloodLeavesEstablishedClientsAlone(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Admin: httpOn,
		Listener: fmt.Sprintf("half_open = %d\nhalf_open_per_address = %[1]d\nhandshake_timeout = \"1m\"", halfOpen+1000)})
	clients := []*pgx.Conn{b.Connect(t, w.Client("alice"), "alice", "orders"), b.Connect(t, w.Client("bob"), "bob", "orders")}
	const window = time.Second
	paces(t, clients, window/3) // prepared, warm
	quiet := paces(t, clients, window)

	before := b.resident(t)
	idle := make([]net.Conn, halfOpen)
	for i := range idle {
		idle[i] = b.Dial(t)
		if _, err := idle[i].Write(sslRequest); err != nil {
			t.Fatal(err)
		}
	}
	series := `pgsignet_connections{listener="main",state="half_open"}`
	Poll(t, "the crowd to be let in", func() bool { return b.metrics(t)[series] == fmt.Sprint(halfOpen) })
	crowded := paces(t, clients, window)
	grown := b.resident(t) - before
	t.Logf("p99 %v beside %d half-open connections, which take %d KiB each", crowded, halfOpen, grown/halfOpen>>10)
	if crowded > 10*floodRatio*max(quiet, quietest) {
		t.Errorf("p99 %v beside %d half-open connections, quiet %v", crowded, halfOpen, quiet)
	}
	if grown > 10*memoryEach*halfOpen {
		t.Errorf("%d half-open connections take %d MiB", halfOpen, grown>>20)
	}
	for _, c := range idle {
		c.Close()
	}
	Poll(t, "the crowd to be forgotten", func() bool { return b.metrics(t)[series] == "0" })

	hello := helloBytes(t)
	capacity := b.flood(hello, window/2, 0)
	stop := make(chan struct{})
	done := make(chan int, 1)
	go func() { done <- b.floodUntil(hello, 3*capacity, stop) }()
	flooded := paces(t, clients, window)
	close(stop)
	t.Logf("p99 %v quiet, %v under %d handshakes/s of %d computed at most (%d answered)", quiet, flooded, 3*capacity, capacity, <-done)
	if flooded > 10*floodRatio*max(quiet, quietest) {
		t.Errorf("p99 %v under a flood of handshakes, quiet %v", flooded, quiet)
	}
}

// paces runs short queries on each client for a while and returns their p99.
func paces(t *testing.T, clients []*pgx.Conn, window time.Duration) time.Duration {
	t.Helper()
	var mu sync.Mutex
	var all []time.Duration
	var running sync.WaitGroup
	for _, c := range clients {
		running.Go(func() {
			var mine []time.Duration
			for end := time.Now().Add(window); time.Now().Before(end); {
				began := time.Now()
				if _, err := c.Exec(context.Background(), "select 1"); err != nil {
					t.Errorf("an established client was hurt: %v", err)
					return
				}
				mine = append(mine, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	running.Wait()
	if len(all) == 0 {
		t.FailNow()
	}
	slices.Sort(all)
	return all[len(all)*99/100]
}

// helloBytes is the first message of a direct TLS handshake. To send it anew costs nothing; to answer
// it costs a key exchange and a signature.
func helloBytes(t *testing.T) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go tls.Client(near, &tls.Config{ServerName: "localhost", NextProtos: []string{"postgresql"}}).Handshake()
	buf := make([]byte, 8<<10)
	n, err := far.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// flood sends hellos for a while, perSecond of them or, when that is 0, as many as are answered, and
// returns how many were answered per second.
func (b *Broker) flood(hello []byte, window time.Duration, perSecond int) int {
	stop := make(chan struct{})
	timer := time.AfterFunc(window, func() { close(stop) })
	defer timer.Stop()
	return int(float64(b.floodUntil(hello, perSecond, stop)) / window.Seconds())
}

// floodUntil is flood until stop is closed; it returns the sum.
func (b *Broker) floodUntil(hello []byte, perSecond int, stop <-chan struct{}) int {
	const at = 64 // connections at once
	var answered atomic.Int64
	var running sync.WaitGroup
	for range at {
		running.Go(func() {
			for {
				began := time.Now()
				select {
				case <-stop:
					return
				default:
				}
				if c, err := net.Dial("tcp", b.Addr); err == nil {
					c.(*net.TCPConn).SetLinger(0)
					c.Write(hello)
					if perSecond == 0 {
						c.SetReadDeadline(time.Now().Add(5 * time.Second))
						if _, err := c.Read(make([]byte, 1)); err == nil {
							answered.Add(1)
						}
					} else {
						answered.Add(1)
						time.AfterFunc(time.Second, func() { c.Close() }) // it is half open for that long
						if wait := time.Second*at/time.Duration(perSecond) - time.Since(began); wait > 0 {
							time.Sleep(wait)
						}
						continue
					}
					c.Close()
				}
			}
		})
	}
	running.Wait()
	return int(answered.Load())
}

// resident is the broker's memory, in bytes (VmRSS of proc(5)).
func (b *Broker) resident(t *testing.T) int64 {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", b.PID()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 1<<20))
	for lines.Scan() {
		var kib int64
		if _, err := fmt.Sscanf(strings.TrimSpace(lines.Text()), "VmRSS: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
