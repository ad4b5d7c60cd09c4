package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// wireConn is one session, direct or through the broker.
type wireConn struct {
	net.Conn
	key []byte // body of BackendKeyData
}

func (w *wireConn) next() (Message, error) { return readMessage(w) }

// dialWire logs in with TLS.
func dialWire(addr string, config *tls.Config, user, database string) (*wireConn, error) {
	return dialUntil(context.Background(), addr, config, user, database)
}

// dialUntil is dialWire; the socket is closed when ctx ends, during the login, too.
func dialUntil(ctx context.Context, addr string, config *tls.Config, user, database string) (*wireConn, error) {
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(60 * time.Second))
	if _, err := raw.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil {
		return nil, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(raw, answer[:]); err != nil || answer[0] != 'S' {
		return nil, fmt.Errorf("SSLRequest: %q, %v", answer, err)
	}
	w := &wireConn{Conn: tls.Client(raw, config)}
	if _, err := w.Write(Startup(3<<16, "user", user, "database", database)); err != nil {
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
	w.SetDeadline(time.Now().Add(60 * time.Second))
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

func transcript(messages []Message) string {
	var b strings.Builder
	for _, m := range messages {
		body := m.Body
		if m.Type == 'E' || m.Type == 'N' {
			body = sourceFields.ReplaceAll(body, []byte{0}) // where in PostgreSQL's source it was raised
		}
		fmt.Fprintf(&b, "%c %q\n", m.Type, body)
	}
	return b.String()
}

var sourceFields = regexp.MustCompile(`\x00F[^\x00]*\x00L[^\x00]*\x00R[^\x00]*\x00`)

var anyMark = regexp.MustCompile(`\bc\d\d\b`)

// differ is the stress test: clients through the broker, each beside a direct session that is sent
// the same.
type differ struct {
	t      *testing.T
	world  *World
	broker *Broker
	until  time.Time
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
	cuts := rand.New(rand.NewPCG(seed+1, uint64(i)))
	brokerTLS := d.broker.TLSConfig(d.world.Client("alice"))
	directTLS := d.world.directTLS(d.t)
	for !d.stop() {
		direct, err := dialUntil(d.over, d.world.PG.Addr(), directTLS, "alice", "stock")
		if err != nil {
			d.report("direct login: %v", err)
			return
		}
		through, err := dialUntil(d.over, d.broker.Addr, brokerTLS, "alice", "orders")
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
		want, err := direct.run(step, nil)
		if err != nil {
			d.report("%s direct: %v\nsent %q", s.mark, err, step)
			return
		}
		got, err := through.run(step, cuts)
		fmt.Fprintf(&past, "%s -> %s\n", brief(step), Types(want))
		if a, b := transcript(got), transcript(want); err != nil || a != b {
			d.report("%s: %v\nbefore %s\nsent %s\ngot %s\nwant %s\nthey part at\ngot %s\nwant %s", s.mark, err, tail(past.String(), 20000),
				readable(step), Types(got), Types(want), parting(a, b), parting(b, a))
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

// NetConn is the socket below TLS.
func (w *wireConn) NetConn() net.Conn { return w.Conn.(*tls.Conn).NetConn() }

// brief is a step in one line, without its terminator.
func brief(step []byte) string {
	var words []string
	for _, m := range splitClient(bytes.TrimSuffix(step, terminator)) {
		word := string(m.Type)
		switch m.Type {
		case 'Q', 'P', 'B', 'C', 'D':
			word += strings.ReplaceAll(string(bytes.Trim(m.Body, "\x00")), "\x00", "|")
		}
		words = append(words, word)
	}
	return strings.Join(words, "; ")
}

// readable is a step with a message to the line.
func readable(step []byte) string {
	var b strings.Builder
	for _, m := range splitClient(step) {
		fmt.Fprintf(&b, "\n  %c %q", m.Type, m.Body)
	}
	return b.String()
}

// parting is what a transcript says from where it differs from another one on, in short.
func parting(a, b string) string {
	of, at := strings.Split(a, "\n"), 0
	for other := strings.Split(b, "\n"); at < min(len(of), len(other)) && of[at] == other[at]; {
		at++
	}
	var out strings.Builder
	for _, line := range of[at:min(len(of), at+4)] {
		out.WriteString("\n  " + line[:min(len(line), 200)])
	}
	return out.String()
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func splitClient(b []byte) (all []Message) {
	for len(b) >= 5 {
		n := 1 + int(binary.BigEndian.Uint32(b[1:]))
		all = append(all, Message{Type: b[0], Body: b[5:n]})
		b = b[n:]
	}
	return all
}

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

// diffSeed chooses the scripts: PGSIGNET_DIFF_SEED, a number as a run has logged it, or one of its own.
func diffSeed(t *testing.T) uint64 {
	s := os.Getenv("PGSIGNET_DIFF_SEED")
	if s == "" {
		return uint64(time.Now().UnixNano())
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// differences runs the stress test against a program and returns what it found.
func differences(t *testing.T, w *World, run time.Duration) (found []string, steps int) {
	b := w.Start(t, Options{Rules: people, Pool: transactions(4, `wait_timeout = "50s"`), Audit: `level = "session"`})
	for _, database := range []string{"orders", "stock"} {
		w.Exec(t, database, "drop schema if exists diff cascade; create schema diff authorization alice")
	}
	d := &differ{t: t, world: w, broker: b, until: time.Now().Add(run)}
	d.over, d.end = context.WithCancel(t.Context())
	defer d.end()
	seed := diffSeed(t)
	var clients sync.WaitGroup
	for i := range 32 {
		clients.Go(func() { d.client(seed, i) })
	}
	clients.Wait()
	t.Logf("seed %d: %d steps", seed, d.steps)
	return d.found, d.steps
}

// Every reply of 32 clients over four servers equals, byte for byte, what a session of their own
// gives; and no row is anybody else's. W18-W64.
func TestDifferentialStress(t *testing.T) {
	run := diffFor(t)
	found, steps := differences(t, Shared(t), run)
	for _, f := range found {
		t.Error(f)
		break
	}
	if steps == 0 {
		t.Error("no step was run")
	}
}

// W18: the stress test finds a pooler that lets go at the first ReadyForQuery.
func TestDifferentialStressFindsASeededBug(t *testing.T) {
	run := diffFor(t) // it ends with the first difference
	w := *Shared(t)
	w.binary = filepath.Join(t.TempDir(), "pgsignet")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-tags", "seededbug", "-o", w.binary, "github.com/pgsignet/pgsignet/cmd/pgsignet")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if found, _ := differences(t, &w, run); len(found) == 0 {
		t.Error("a server connection is released inside a transaction, and nothing was found")
	}
}
