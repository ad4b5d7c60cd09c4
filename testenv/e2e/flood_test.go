package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/race"
)

// What the test asserts ten times of. The p99 of established clients under a flood shall be less than twice
// that of quiet, or of the same flood against another process: clients, flooder, PostgreSQL and broker
// share the test's processors, and what they take from each other is not the broker's doing. Quiet is
// taken as quietest at least, since a busy machine adds as much to either. Two cores gave 2.6 ms and 21 ms;
// with handshakes on both, 384 ms. A half-open connection takes memoryEach bytes of the broker's memory, and a
// flood no more than floodMemory.
const (
	floodRatio  = 2
	quietest    = 10 * time.Millisecond
	memoryEach  = 8 << 10
	floodMemory = halfOpen*memoryEach + 128<<20 // in all: the half-open, and the garbage that may lie
	halfOpen    = 5000
)

// Beyond the limits of a door: established clients go on at their pace while others flood it with
// handshakes, three times as many as can be computed, and while 5 000 idle connections are half open,
// which take bounded memory.
func TestFloodLeavesEstablishedClientsAlone(t *testing.T) {
	w := Shared(t)
	options := Options{Rules: people, Admin: httpOn,
		Listener: fmt.Sprintf("half_open = %d\nhalf_open_per_address = %[1]d\nhandshake_timeout = \"10m\"", halfOpen+1000)}
	b := w.Start(t, options)
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
	t.Logf("p99 %v quiet, %v beside %d half-open connections, which take %d KiB each", quiet, crowded, halfOpen, grown/halfOpen>>10)
	for attempt := 0; attempt < 2 && crowded > 10*floodRatio*max(quiet, quietest); attempt++ {
		crowded = paces(t, clients, window)
	}
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
	_, stop := b.flood(t, hello, 0)
	time.Sleep(window / 2) // a measure, not a wait
	capacity := max(100, int(float64(stop())/(window/2).Seconds()))
	other := w.Start(t, options)
	for attempt := range 3 { // what a busy machine adds passes, what the broker adds does not
		quiet = paces(t, clients, window)
		_, stop := other.flood(t, hello, 3*capacity)
		elsewhere := paces(t, clients, window)
		stop()
		began, stop := b.flood(t, hello, 3*capacity)
		flooded := paces(t, clients, window)
		taken := b.resident(t) - before
		sent := int(float64(stop()) / time.Since(began).Seconds())
		t.Logf("p99 %v quiet, %v under %d handshakes/s, of which %d can be computed, %v when another process is flooded; %d MiB more than at first",
			quiet, flooded, sent, capacity, elsewhere, taken>>20)
		if taken > floodMemory && !race.Enabled { // whose own memory is several times as much
			t.Errorf("a flood takes %d MiB", taken>>20)
		}
		if flooded <= 10*floodRatio*max(quiet, quietest, elsewhere) {
			return
		}
		if attempt == 2 {
			t.Errorf("p99 %v under a flood of handshakes, quiet %v, when another is flooded %v", flooded, quiet, elsewhere)
		}
	}
}

// pause is between a client's queries: without one a few of them need the whole machine, and whatever
// else is computed slows them down.
const pause = 2 * time.Millisecond

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
				time.Sleep(pause)
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

// floodJob is the variable that makes this binary a flooder: ADDRESS RATE HELLO.
const floodJob = "PGSIGNET_TEST_FLOOD"

// flood starts a process of its own, of the least priority since real clients have machines of their own,
// that sends hellos: perSecond of them or, when that is 0, as many as are answered. It has begun when flood
// returns; stop ends it and returns how many there were.
func (b *Broker) flood(t *testing.T, hello []byte, perSecond int) (began time.Time, stop func() int) {
	t.Helper()
	cmd := exec.Command("nice", "-n", "19", os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %x", floodJob, b.Addr, perSecond, hello))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(out)
	if _, err := said.ReadString('\n'); err != nil {
		t.Fatalf("flooder: %v", err)
	}
	return time.Now(), func() int {
		t.Helper()
		in.Close()
		var n int
		if _, err := fmt.Fscan(said, &n); err != nil {
			t.Errorf("flooder: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("flooder: %v", err)
		}
		return n
	}
}

// floodMain floods until its standard input ends.
func floodMain(job string) (status int) {
	f := flooder{stop: make(chan struct{})}
	if _, err := fmt.Sscanf(job, "%s %d %x", &f.addr, &f.perSecond, &f.hello); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	fmt.Println("flooding")
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(f.stop)
	}()
	var running sync.WaitGroup
	for range flooders {
		running.Go(f.run)
	}
	running.Wait()
	fmt.Println(f.sent.Load())
	return 0
}

// flooders is how many connections are opened at once.
const flooders = 32

type flooder struct {
	addr      string
	perSecond int
	hello     []byte
	stop      chan struct{}
	sent      atomic.Int64
}

// run opens connections at its share of the rate, or one after the other.
func (f *flooder) run() {
	for {
		began := time.Now()
		select {
		case <-f.stop:
			return
		default:
		}
		c, err := net.Dial("tcp", f.addr)
		if err != nil {
			continue
		}
		c.(*net.TCPConn).SetLinger(0)
		c.Write(f.hello)
		if f.perSecond > 0 {
			f.sent.Add(1)
			time.AfterFunc(time.Second, func() { c.Close() }) // it is half open for that long
			time.Sleep(time.Second*flooders/time.Duration(f.perSecond) - time.Since(began))
			continue
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			f.sent.Add(1)
		}
		c.Close()
	}
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
