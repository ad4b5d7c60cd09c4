package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/race"
)

// kill -9 under load: whatever a client saw answered is in the record, which verifies after a restart, also
// where the answer came before a Sync, because the client asked for it with a Flush. The page cache survives a
// kill; what a missing sync would lose is tested over a file layer that drops it (broker/audit).
func TestStrictKeepsEveryAnsweredStatement(t *testing.T) {
	w := Shared(t)
	rounds := 50
	if testing.Short() || race.Enabled {
		rounds = 5
	}
	path := w.WriteConfig(t, Options{Rules: people, Audit: strict, Pool: "mode = \"transaction\"\nsize = 4"})
	leaf := w.Client("app")
	answered := make(map[string]bool)
	flushed := 0
	for round := range rounds {
		b := w.StartConfig(t, path)
		for text := range b.killUnderLoad(t, leaf, round) {
			answered[text] = true
			if strings.HasSuffix(text, flushedMark) {
				flushed++
			}
		}
	}
	if flushed < rounds {
		t.Errorf("%d statements were answered before their Sync in %d rounds: the kill met too few", flushed, rounds)
	}
	b := w.StartConfig(t, path)
	b.verify(t)
	for _, r := range b.readRecords("statement") {
		if text, ok := r["stmt"].(map[string]any)["text"].(string); ok {
			delete(answered, text)
		}
	}
	for text := range answered {
		t.Errorf("answered and not in the record: %s", text)
	}
}

// killUnderLoad kills the broker while eight clients work, and returns what they saw answered.
func (b *Broker) killUnderLoad(t *testing.T, leaf *pki.Leaf, round int) map[string]bool {
	t.Helper()
	var mu sync.Mutex
	seen := make(map[string]bool)
	var each [8]atomic.Int64 // how much the client has seen answered
	var clients sync.WaitGroup
	for n := range each {
		c, err := b.TryConnect(leaf, "app", "orders")
		if err != nil {
			t.Fatal(err)
		}
		clients.Go(func() {
			defer c.Close(context.Background())
			for i := 0; ; i++ {
				err := askKilled(c.PgConn(), n+i, fmt.Sprintf("select %d, %d, %d", round, n, i), func(text string) {
					mu.Lock()
					seen[text] = true
					mu.Unlock()
					each[n].Add(1)
				})
				if err != nil {
					return
				}
			}
		})
	}
	Poll(t, "work to be done", func() bool {
		least, total := each[0].Load(), int64(0)
		for i := range each {
			least, total = min(least, each[i].Load()), total+each[i].Load()
		}
		return least > 0 && total >= int64(20+round)
	})
	b.cmd.Process.Kill()
	clients.Wait()
	<-b.done
	return seen
}

// flushedMark ends the texts that are answered before their Sync.
const flushedMark = " -- flushed"

// askKilled has text run in the kind-th way and tells of each text that was answered.
func askKilled(c *pgconn.PgConn, kind int, text string, answered func(string)) error {
	switch kind % 3 {
	case 0:
		if _, err := c.Exec(context.Background(), text).ReadAll(); err != nil {
			return err
		}
	case 1:
		if err := c.ExecParams(context.Background(), text, nil, nil, nil, nil).Read().Err; err != nil {
			return err
		}
	default:
		return askFlushed(c, text, answered)
	}
	answered(text)
	return nil
}

// askFlushed has three statements run in one batch, of which each is answered before the next is sent, and
// the first before its batch's Sync.
func askFlushed(c *pgconn.PgConn, text string, answered func(string)) error {
	p := c.StartPipeline(context.Background())
	defer p.Close()
	for i := range 3 {
		one := fmt.Sprintf("%s, %d%s", text, i, flushedMark)
		p.SendQueryParams(one, nil, nil, nil, nil)
		p.SendFlushRequest()
		if err := p.Flush(); err != nil {
			return err
		}
		r, err := p.GetResults()
		if err != nil {
			return err
		}
		if _, err := r.(*pgconn.ResultReader).Close(); err != nil {
			return err
		}
		answered(one)
	}
	return p.Sync()
}

// The record is synced before the statement goes upstream, as the kernel sees it.
func TestStrictSyncsBeforeItSends(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed")
	}
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Audit: strict})
	c := b.login(t, w.Client("app"), "app")
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", "-f", "-yy", "-p", fmt.Sprint(b.PID()), "-e", "trace=fdatasync,write", "-o", trace)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := func() string { data, _ := os.ReadFile(trace); return string(data) }
	// Until strace is attached nothing is traced: ask until something is.
	Poll(t, "strace to attach", func() bool {
		c.Send(Query("select 0"))
		c.ReadUntil('Z')
		return strings.Contains(read(), "fdatasync")
	})
	const more = 3
	for i := range more {
		c.Send(Query(fmt.Sprint("select ", i)))
		c.ReadUntil('Z')
		c.Send(sequence(parseMsg("", "select 1"), bindMsg("", ""), executeMsg(""), syncMsg()))
		c.ReadUntil('Z')
	}
	cmd.Process.Signal(syscall.SIGINT)
	cmd.Wait()
	upstream := regexp.MustCompile(`write\(\d+<TCP:\[127\.0\.0\.1:\d+->` + regexp.QuoteMeta(w.PG.Addr()) + `\]`)
	synced, sent := false, 0
	for line := range strings.Lines(read()) {
		switch {
		case strings.Contains(line, "fdatasync") && !strings.Contains(line, "unfinished"): // it has returned
			synced = true
		case upstream.MatchString(line) && (synced || sent > 0): // strace may have come between the first sync and its write
			if !synced {
				t.Errorf("a write before the sync:\n%s", read())
			}
			synced = false
			sent++
		}
	}
	if sent < 2*more {
		t.Errorf("%d writes to PostgreSQL were seen:\n%s\n%s", sent, read(), errs.String())
	}
}

// auditRate runs 64 clients for d and returns statements per second.
func (b *Broker) auditRate(t testing.TB, leaf *pki.Leaf, d time.Duration) float64 {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var done atomic.Int64
	var clients sync.WaitGroup
	conns := make([]*pgx.Conn, 64)
	for i := range conns {
		c, err := b.TryConnect(leaf, "app", "orders")
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c
	}
	began := time.Now()
	for _, c := range conns {
		clients.Go(func() {
			defer c.Close(context.Background())
			for ctx.Err() == nil {
				var r *pgconn.MultiResultReader = c.PgConn().Exec(context.Background(), "select 1")
				if _, err := r.ReadAll(); err != nil {
					t.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	timer := time.NewTimer(d)
	<-timer.C
	stop()
	clients.Wait()
	return float64(done.Load()) / time.Since(began).Seconds()
}

// strict reaches half of best effort's throughput at 64 clients on one disk: the figure is the
// benchmark's, the test asserts a tenth of it.
func TestStrictThroughput(t *testing.T) {
	w := Shared(t)
	leaf := w.Client("app")
	rates := make(map[string]float64)
	for _, delivery := range []string{"best_effort", "strict"} {
		b := w.Start(t, Options{Rules: people, Pool: transactions(20), Audit: `delivery = "` + delivery + `"`})
		rates[delivery] = b.auditRate(t, leaf, 2*time.Second)
	}
	ratio := rates["strict"] / rates["best_effort"]
	t.Logf("64 clients: strict %.0f/s, best effort %.0f/s: %.2f", rates["strict"], rates["best_effort"], ratio)
	if ratio < 0.05 {
		t.Errorf("strict reaches %.3f of best effort's throughput, want at least 0.05", ratio)
	}
}
