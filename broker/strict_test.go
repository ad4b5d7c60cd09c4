package broker

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/dropfs"
	"github.com/pgsignet/pgsignet/testenv/fakepg"
	"github.com/pgsignet/pgsignet/testenv/poll"
	"github.com/pgsignet/pgsignet/testenv/race"
)

// onDisk is a test's disk as audit.Files.
type onDisk struct{ *dropfs.Disk }

func (d onDisk) Create(path string) (audit.File, error) {
	f, err := d.Disk.Create(path)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// strictLab is a lab whose statements wait for their record on disk, in dir.
func strictLab(t testing.TB, dir string, disk *dropfs.Disk) *lab {
	t.Helper()
	return newAuditedLab(t, 8, nil, audit.Config{Directory: dir, Delivery: audit.Strict, Files: onDisk{disk}}, audit.LevelStatement, everybody)
}

// ask sends a Query.
func ask(t testing.TB, conn *tls.Conn, sql string) {
	t.Helper()
	if _, err := conn.Write(pgwire.AppendQuery(nil, sql)); err != nil {
		t.Fatal(err)
	}
}

// W97: what a client saw answered is on the disk, whatever the page cache held when the machine died,
// and the next start mends the record. Every other client has its statements answered by a Flush, and its
// Sync comes behind three of them.
func TestW97CrashLosesNothingAnswered(t *testing.T) {
	rounds := 50
	if testing.Short() || race.Enabled {
		rounds = 5
	}
	for round := range rounds {
		var (
			dir      = filepath.Join(t.TempDir(), "audit")
			mu       sync.Mutex
			answered []string
		)
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			disk := dropfs.New()
			disk.Torn = func(n int64) int64 { return rand.Int64N(n + 1) }
			l := strictLab(t, dir, disk)
			l.faults.Store(&fault{typ: pgwire.MsgParse, server: answersEach})
			leaf := l.Client("alice")
			var clients sync.WaitGroup
			var count [4]atomic.Int64
			for n := range count {
				conn := l.login(leaf)
				clients.Go(func() {
					for i := 0; ; i++ {
						sql := fmt.Sprintf("select %d, %d, %d", round, n, i)
						bytes, until := pgwire.AppendQuery(nil, sql), "ZE"
						if n%2 == 1 {
							bytes, until = flushed(sql, i%3 == 2), "CE"
						}
						if _, err := conn.Write(bytes); err != nil {
							return
						}
						if typ, _ := read(conn, until); typ != until[0] {
							return
						}
						count[n].Add(1)
						mu.Lock()
						answered = append(answered, sql)
						mu.Unlock()
					}
				})
			}
			poll.Until(t, "every client to have answers", func() bool {
				least, total := count[0].Load(), int64(0)
				for i := range count {
					least, total = min(least, count[i].Load()), total+count[i].Load()
				}
				return least > 0 && total >= int64(10+round)
			})
			disk.Kill(t)
			clients.Wait()
		})
		have := recordedText(t, dir)
		for _, sql := range answered {
			if !strings.Contains(have, `"`+sql+`"`) {
				t.Errorf("answered and not in the record: %s", sql)
			}
		}
		reopened(t, dir)
	}
}

// flushed is a statement in the extended protocol that is answered at once, with a Sync behind it or not.
func flushed(sql string, sync bool) []byte {
	b := fakepg.Sequence(fakepg.Parse("", sql), fakepg.Bind("", ""), fakepg.Execute("", 0), fakepg.Flush())
	if sync {
		b = append(b, fakepg.Sync()...)
	}
	return b
}

// answersEach answers an Execute when it comes, from a batch's first Parse on up to its Sync.
func answersEach(_ *lab, c *fakepg.Conn) bool {
	for {
		m, ok := c.Read()
		switch {
		case !ok:
			return false
		case m.Type == pgwire.MsgExecute:
			c.Reply("1 2 C")
		case m.Type == pgwire.MsgSync:
			c.Reply("ZI")
			return true
		}
	}
}

// recordedText is all that the record holds.
func recordedText(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	files, _ := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// reopened starts over a dead process's record, and has the whole of it verified.
func reopened(t *testing.T, dir string) {
	t.Helper()
	l, err := audit.Open(audit.Config{Directory: dir, Node: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	keys, err := audit.LoadKeys(filepath.Join(dir, "audit.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	streams, err := audit.Verify(audit.VerifyConfig{Directory: dir, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range streams {
		if !s.OK() {
			t.Errorf("verify: %v", s.Findings)
		}
	}
}

// W97: a session whose statement waits for its record can be ended while the disk does not answer. The
// statement is never sent. (A cancel is no way out: it waits for a record of its own.)
func TestW97WaitEnds(t *testing.T) {
	disk := dropfs.New()
	l := strictLab(t, filepath.Join(t.TempDir(), "audit"), disk)
	for _, tt := range []struct {
		name string
		stop func()
	}{
		{"end", func() {
			for _, s := range l.server.live.all() {
				s.end(killed()) // as at the end of its certificate, too
			}
		}},
		{"reload", func() {
			if _, err := l.server.Apply(l.snapshot(l.server.Snapshot(), everybody, denied("alice"))); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := l.login(l.Client("alice"))
			ask(t, conn, "select 'before'")
			read(conn, "ZE")
			ran := l.ran.Load()
			release := disk.Hold()
			ask(t, conn, "select 'held back by "+tt.name+"'")
			<-disk.Holding
			tt.stop()
			if typ, body := read(conn, "ZE"); typ != 'E' || !strings.Contains(string(body), "C57P01\x00") {
				t.Errorf("the client reads %c %q, want 57P01 while the disk does not answer", typ, body)
			}
			if typ, body := read(conn, "ZE"); typ != 0 {
				t.Errorf("then it reads %c %q, want the end", typ, body)
			}
			release()
			poll.Until(t, "the session to be gone", func() bool { return len(l.server.live.all()) == 0 })
			if got := l.ran.Load(); got != ran {
				t.Errorf("PostgreSQL was sent %d queries, want %d", got, ran)
			}
		})
	}
}

// W97: a session whose client has left ends although its statement waits for a disk that does not answer,
// and the statement is never sent; the record gets its end once the disk answers.
func TestW97ClientLeavesWhileItWaits(t *testing.T) {
	disk := dropfs.New()
	dir := filepath.Join(t.TempDir(), "audit")
	l := strictLab(t, dir, disk)
	conn := l.login(l.Client("alice"))
	ran := l.ran.Load()
	release := disk.Hold()
	ask(t, conn, "select 'nobody waits for this'")
	<-disk.Holding
	conn.Close()
	poll.Until(t, "the session to be gone", func() bool { return len(l.server.live.all()) == 0 })
	release()
	poll.Until(t, "the end of the statement in the record", func() bool {
		return strings.Contains(recordedText(t, dir), `"stmt":{"id":1,"phase":"end","op":"query","message":"not run`)
	})
	if got := l.ran.Load(); got != ran {
		t.Errorf("PostgreSQL was sent %d queries, want %d", got, ran)
	}
}

// W97: a disk that does not answer holds up neither a login nor a cancel request nor a command for good:
// they end unrecorded and without effect, and what the record then gets of them says so.
func TestW97RecordWaitIsBounded(t *testing.T) {
	disk := dropfs.New()
	dir := filepath.Join(t.TempDir(), "audit")
	l := strictLab(t, dir, disk)
	leaf := l.Client("alice")
	conn := l.dial(leaf)
	_, body := read(conn, "K")
	key := pgwire.CancelKey{PID: binary.BigEndian.Uint32(body), Secret: body[4:]}
	read(conn, "ZE")
	l.server.recordWait.Store(int64(50 * time.Millisecond))
	release := disk.Hold()
	go l.server.cfg.Audit.AppendDurable(t.Context(), &audit.Record{Event: audit.AdminAction, Action: &audit.Action{Verb: "HOLD"}})
	<-disk.Holding

	if typ, body := read(l.dial(leaf), "ZE"); typ != 'E' || !strings.Contains(string(body), "C57P03\x00") {
		t.Errorf("a login reads %c %q, want 57P03", typ, body)
	}
	if !l.server.cancelHere(t.Context(), &cancelRequest{key: key}) {
		t.Error("the cancel request fits no session")
	}
	o := &operator{server: l.server, record: audit.Record{Action: &audit.Action{Via: "console"}}}
	_, err := o.Do(t.Context(), admin.Command{Verb: "KILL"})
	if r, ok := errors.AsType[*refusal](err); !ok || r.code != pgwire.IOError {
		t.Errorf("a command ends with %v, want 58030", err)
	}
	release()
	ask(t, conn, "select 'after'")
	if typ, body := read(conn, "ZE"); typ != 'Z' {
		t.Errorf("the session reads %c %q once the disk answers: the command was carried out", typ, body)
	}
	text := recordedText(t, dir)
	for _, want := range []string{`"result":"requested"}`, `"result":"failed"}`, `"phase":"start","verb":"KILL"`, `"phase":"end","verb":"KILL"`} {
		if strings.Count(text, want) != 1 {
			t.Errorf("the record has %s %d times, want it once:\n%s", want, strings.Count(text, want), text)
		}
	}
}

// W97: a command whose announcement cannot be written is not carried out, whether the disk refuses or does not
// answer.
func TestW97UnannouncedCommandIsNotCarriedOut(t *testing.T) {
	for name, hinder := range map[string]func(*testing.T, *lab, *dropfs.Disk) (mend func()){
		"refuses": func(_ *testing.T, _ *lab, disk *dropfs.Disk) func() {
			disk.Fail(syscall.EIO)
			return func() { disk.Fail(nil) }
		},
		"does not answer": func(_ *testing.T, l *lab, disk *dropfs.Disk) func() {
			l.server.recordWait.Store(int64(50 * time.Millisecond))
			return disk.Hold()
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := dropfs.New()
			l := strictLab(t, filepath.Join(t.TempDir(), "audit"), disk)
			l.login(l.Client("alice"))
			s, server := l.server.live.all()[0], l.server
			o := &operator{server: server, record: audit.Record{Action: &audit.Action{Via: "console"}}}
			mend := hinder(t, l, disk)
			defer mend()
			alice := admin.Target{Kind: "dn", Value: "CN=alice"}
			for _, c := range []admin.Command{
				{Verb: "DISABLE"}, {Verb: "LOCK CERT", Target: alice}, {Verb: "KILL"}, {Verb: "KILL CERT", Target: alice},
				{Verb: "SHUTDOWN", Name: haltServers},
			} {
				_, err := o.Do(t.Context(), c)
				if r, ok := errors.AsType[*refusal](err); !ok || r.code != pgwire.IOError {
					t.Errorf("%s ends with %v, want 58030", c.Verb, err)
				}
			}
			if server.pools.Disabled(pool.Key{Upstream: "pg", Database: "orders"}) {
				t.Error("DISABLE was carried out")
			}
			if got := server.locks.all(time.Now()); len(got) != 0 {
				t.Errorf("LOCK was carried out: %v", got)
			}
			if end := s.endedBy(); end != nil && end.Reason != relay.AuditFailed {
				t.Errorf("KILL or LOCK was carried out: %v", end)
			}
			select {
			case <-server.halts.soft:
				t.Error("SHUTDOWN was carried out")
			default:
			}
		})
	}
}

// A statement whose session is ended while it waits for a server connection is recorded with the SQLSTATE that its
// client reads.
func TestEndedInTheQueueIsRecorded(t *testing.T) {
	rule := everybody
	rule.PoolMode = "transaction"
	for _, delivery := range []audit.Delivery{audit.BestEffort, audit.Strict} {
		t.Run(string(delivery), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "audit")
			l := newAuditedLab(t, 1, nil, audit.Config{Directory: dir, Delivery: delivery}, audit.LevelStatement, rule)
			l.up.Pool.LoginCheck = 1 << 50
			free := make(chan struct{})
			l.faults.Store(&fault{server: func(_ *lab, c *fakepg.Conn) bool { <-free; c.Reply("C ZI"); return true }})
			alice, bob := l.login(l.Client("alice")), l.login(l.Client("bob"))
			ask(t, bob, "select fault")
			poll.Until(t, "bob to be served", func() bool { return l.active() == 1 })
			ask(t, alice, "select 'queued'")
			poll.Until(t, "alice to wait", func() bool { return l.server.pools.Stats()[0].Waiting == 1 })
			for _, s := range l.server.live.all() {
				if r := s.relaying(); r != nil && r.Queued() {
					s.end(killed())
				}
			}
			if typ, body := read(alice, "ZE"); typ != 'E' || !strings.Contains(string(body), "57P01") {
				t.Errorf("the client reads %c %q, want 57P01", typ, body)
			}
			poll.Until(t, "alice to be gone", func() bool { return len(l.server.live.all()) == 1 })
			close(free)
			hears(t, bob, "C ZI")
			poll.Until(t, "the record of what waited", func() bool {
				text, ended := false, false // in strict delivery of two lines
				for line := range strings.Lines(recordedText(t, dir)) {
					if strings.Contains(line, `"event":"statement"`) {
						text = text || strings.Contains(line, "queued")
						ended = ended || strings.Contains(line, `"sqlstate":"57P01"`)
					}
				}
				return text && ended
			})
		})
	}
}
