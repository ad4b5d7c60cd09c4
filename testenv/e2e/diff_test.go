package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// wireConn is one session, direct or through the broker.
type wireConn struct {
	net.Conn
	key []byte // body of BackendKeyData
}

func (w *wireConn) next() (Message, error) { return readMessage(w) }

// patience is how long a client of the stress tests waits for an answer: longer than a machine that does several
// things is seen to stop.
const patience = 4 * time.Minute

// patient has a broker wait as long for whatever comes of the machine's stopping, and not of the broker.
func patient(o Options) Options {
	o.Listener += fmt.Sprintf("\nhandshake_timeout = %q\nwrite_timeout = %[1]q\nopen_batch_timeout = %[1]q\n", patience)
	o.Upstream += fmt.Sprintf("\nconnect_timeout = %q\n", patience)
	o.Pool += fmt.Sprintf("\nwait_timeout = %q\nreset_timeout = %[1]q\n", patience)
	return o
}

// Versions of the protocol.
const (
	protocol30 = 3 << 16
	protocol32 = 3<<16 | 2 // longer cancel keys
)

// dialWire logs in with TLS.
func dialWire(addr string, config *tls.Config, user, database string) (*wireConn, error) {
	return dialUntil(context.Background(), addr, config, protocol30, user, database)
}

// dialUntil is dialWire in that version of the protocol; the socket is closed when ctx ends, during the login, too.
func dialUntil(ctx context.Context, addr string, config *tls.Config, version uint32, user, database string) (*wireConn, error) {
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(patience))
	if _, err := raw.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil {
		return nil, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(raw, answer[:]); err != nil || answer[0] != 'S' {
		return nil, fmt.Errorf("SSLRequest: %q, %v", answer, err)
	}
	w := &wireConn{Conn: tls.Client(raw, config)}
	if _, err := w.Write(Startup(version, "user", user, "database", database)); err != nil {
		return nil, err
	}
	for {
		m, err := w.next()
		switch {
		case err != nil:
			return nil, err
		case m.Type == 'E':
			return nil, fmt.Errorf("login: %s", ErrorText(m))
		case m.Type == 'K':
			w.key = m.Body
		case m.Type == 'Z':
			return w, nil
		}
	}
}

// run sends a step in pieces, as cuts says, and returns the answer up to its terminator.
func (w *wireConn) run(step []byte, cuts *rand.Rand) ([]Message, error) {
	w.SetDeadline(time.Now().Add(patience))
	failed := make(chan error, 1)
	go func() {
		for len(step) > 0 {
			n := len(step)
			if cuts != nil && cuts.IntN(2) == 0 {
				n = 1 + cuts.IntN(n)
			}
			if _, err := w.Write(step[:n]); err != nil {
				failed <- err
				return
			}
			step = step[n:]
		}
		failed <- nil
	}()
	var all []Message
	for empties := 0; empties < 6; {
		m, err := w.next()
		if err != nil {
			return all, err
		}
		if m.Type == 'I' || m.Type == 'Z' && empties%2 == 1 {
			empties++
		} else {
			empties = 0
		}
		all = append(all, m)
	}
	return all, <-failed
}

// differ is the stress test: clients through the broker, each beside a direct session that is sent
// the same.
type differ struct {
	t      *testing.T
	world  *World
	broker *Broker
	until  time.Time
	whole  bool            // see script
	over   context.Context // a difference was found
	end    context.CancelFunc

	mu    sync.Mutex
	steps int
	found []string
}

func (d *differ) report(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.found = append(d.found, fmt.Sprintf(format, args...))
	d.end()
}

func (d *differ) stop() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.found) > 0 || time.Now().After(d.until)
}

func (d *differ) client(seed uint64, i int) {
	s := newScript(seed, i)
	s.whole = d.whole
	version := uint32(protocol30)
	if i%2 == 1 {
		version = protocol32
	}
	cuts := rand.New(rand.NewPCG(seed+1, uint64(i)))
	brokerTLS := d.broker.TLSConfig(d.world.Client("alice"))
	directTLS := d.world.directTLS(d.t)
	for !d.stop() {
		direct, err := dialUntil(d.over, d.world.PG.Addr(), directTLS, version, "alice", "stock")
		if err != nil {
			d.report("direct login: %v", err)
			return
		}
		through, err := dialUntil(d.over, d.broker.Addr, brokerTLS, version, "alice", "orders")
		if err != nil {
			d.report("login: %v", err)
			return
		}
		d.session(s, cuts, direct, through)
		direct.Close()
		through.Close()
	}
}

// session plays a script until it is time for a disconnect.
func (d *differ) session(s *script, cuts *rand.Rand, direct, through *wireConn) {
	var past bytes.Buffer
	for first := true; !d.stop(); first = false {
		if !first && s.IntN(40) == 0 { // vanish at any byte
			step := s.step()
			through.Write(step[:s.IntN(len(step))])
			through.NetConn().Close()
			return
		}
		if !first && s.IntN(60) == 0 {
			d.cancel(s, through)
			return
		}
		step := s.step()
		if first {
			step = s.login()
		}
		want, gone := direct.run(step, nil)
		if gone != nil && !errors.Is(gone, io.EOF) && !errors.Is(gone, syscall.ECONNRESET) {
			d.report("%s direct: %v\nsent %q", s.mark, gone, step)
			return
		}
		got, err := through.run(step, cuts)
		if gone != nil && err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // what was on the way then may be lost
			n := min(len(got), len(want))
			got, want, err = got[:n], want[:n], nil
		}
		fmt.Fprintf(&past, "%s -> %s\n", brief(step), Types(want))
		if a, b := transcript(excused(got, want)), transcript(want); err != nil || a != b {
			d.report("%s: %v%s\nbefore %s\nsent %s\ngot %s\nwant %s\nthey part at\ngot %s\nwant %s", s.mark, err, d.activity(err), tail(past.String(), 20000),
				readable(step), Types(got), Types(want), parting(a, b), parting(b, a))
			return
		}
		if gone != nil {
			return
		}
		for _, m := range got {
			for _, mark := range anyMark.FindAllString(string(m.Body), -1) {
				if m.Type == 'D' && mark != s.mark {
					d.report("%s: a row of %s: %q", s.mark, mark, m.Body)
				}
			}
		}
		d.mu.Lock()
		d.steps++
		d.mu.Unlock()
	}
}

// activity is what PostgreSQL's sessions are doing, when an answer has not come in time.
func (d *differ) activity(err error) string {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return ""
	}
	conn, err := d.world.PG.Connect(context.Background(), "orders")
	if err != nil {
		return err.Error()
	}
	defer conn.Close(context.Background())
	var all string
	err = conn.QueryRow(context.Background(), `select string_agg(concat_ws(' ', pid, datname, state, wait_event, pg_blocking_pids(pid), left(query, 200)), E'\n')
		from pg_stat_activity where usename = 'alice'`).Scan(&all)
	return fmt.Sprintf("\n%s\n%v", all, err)
}

// NetConn is the socket below TLS.
func (w *wireConn) NetConn() net.Conn { return w.Conn.(*tls.Conn).NetConn() }

// cancel has a long statement cancelled: it must end in 57014 at once, and hit nobody else.
func (d *differ) cancel(s *script, through *wireConn) {
	if _, err := through.Write(joined(Query("rollback"), Query("select pg_sleep(50)"))); err != nil {
		d.report("%s: %v", s.mark, err)
		return
	}
	done := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		for {
			if c, err := net.Dial("tcp", d.broker.Addr); err == nil {
				c.Write(append([]byte{0, 0, 0, byte(8 + len(through.key)), 4, 210, 22, 46}, through.key...))
				io.Copy(io.Discard, c)
				c.Close()
			}
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	for cancelled := false; !cancelled; {
		m, err := through.next()
		if err != nil {
			d.report("%s: waiting for the cancel: %v", s.mark, err)
			break
		}
		cancelled = m.Type == 'E' && Field(m, 'C') == "57014"
	}
	close(done)
	asking.Wait()
}

// diffFor is how long the stress test runs: PGSIGNET_DIFF, a duration as in PGSIGNET_DIFF=60s, or ten
// seconds.
func diffFor(t *testing.T) time.Duration {
	s := os.Getenv("PGSIGNET_DIFF")
	if s == "" {
		return 10 * time.Second
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// diffSeed chooses the scripts: PGSIGNET_DIFF_SEED, a number as a run has logged it, or those that every run has
// without PGSIGNET_DIFF, and others with it.
func diffSeed(t *testing.T) uint64 {
	s := os.Getenv("PGSIGNET_DIFF_SEED")
	if s == "" {
		if os.Getenv("PGSIGNET_DIFF") == "" {
			return 1
		}
		return uint64(time.Now().UnixNano())
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// differences runs the stress test with some clients against a program and returns what it found.
func differences(t *testing.T, w *World, run time.Duration, pool string, clients int) (found []string, steps int) {
	b := w.Start(t, patient(Options{Rules: people, Pool: pool, Audit: `level = "session"`}))
	for _, database := range []string{"orders", "stock"} {
		w.Exec(t, database, "drop schema if exists diff cascade; create schema diff authorization alice")
	}
	d := &differ{t: t, world: w, broker: b, until: time.Now().Add(run)}
	d.whole = w.PG.Major >= 18
	d.over, d.end = context.WithCancel(t.Context())
	defer d.end()
	seed := diffSeed(t)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() { d.client(seed, i) })
	}
	all.Wait()
	t.Logf("seed %d: %d steps", seed, d.steps)
	return d.found, d.steps
}

// sharedByMany is a pool whose few connections 32 clients share.
var sharedByMany = transactions(4)

// Every reply of 32 clients over four servers equals, byte for byte, what a session of their own
// gives; and no row is anybody else's. So do those of fewer clients, one to a server at a time. W18-W64.
func TestDifferentialStress(t *testing.T) {
	for _, tt := range []struct {
		mode, pool string
		clients    int
		run        time.Duration
	}{
		{"transaction", sharedByMany, 32, diffFor(t)},
		{"session", `size = 10`, 8, diffFor(t) / 5},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			found, steps := differences(t, Shared(t), tt.run, tt.pool, tt.clients)
			for _, f := range found {
				t.Error(f)
				break
			}
			if steps == 0 {
				t.Error("no step was run")
			}
		})
	}
}

// W18: the stress test finds a pooler that lets go at the first ReadyForQuery.
func TestDifferentialStressFindsASeededBug(t *testing.T) {
	run := max(diffFor(t), time.Minute) // it ends with the first difference
	w := *Shared(t)
	w.binary = filepath.Join(t.TempDir(), "pgsignet")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-tags", "seededbug", "-o", w.binary, "github.com/pgsignet/pgsignet/cmd/pgsignet")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if found, _ := differences(t, &w, run, sharedByMany, 32); len(found) == 0 {
		t.Error("a server connection is released inside a transaction, and nothing was found")
	}
}
