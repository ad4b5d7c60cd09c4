package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgsignet/pgsignet/testenv/dropfs"
)

// days writes a stream with a statement an hour, a file a day, for n days.
func days(t *testing.T, l *Log, n int) {
	t.Helper()
	for i := range n * 24 {
		time.Sleep(time.Hour)
		if err := l.Append(stmtRecord(fmt.Sprintf("hour %d", i))); err != nil {
			t.Fatal(err)
		}
	}
}

func prune(t *testing.T, dir string, before time.Time) []Pruned {
	t.Helper()
	gone, err := Prune(context.Background(), PruneConfig{Directory: dir, Before: before})
	if err != nil {
		t.Fatal(err)
	}
	return gone
}

// has reports whether verify says a finding that contains text.
func has(all []*StreamReport, text string) bool {
	return slices.ContainsFunc(findings(all), func(f string) bool { return strings.Contains(f, text) })
}

func TestPruneBesideALiveProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "audit")
		l := openTest(t, Config{Directory: dir})
		began := time.Now()
		days(t, l, 10)
		gone := prune(t, dir, began.AddDate(0, 0, 4))
		if len(gone) != 1 || len(gone[0].Files) != 3 && len(gone[0].Files) != 4 || gone[0].Whole {
			t.Fatalf("pruned %+v, want the first three or four files", gone)
		}
		wantClean(t, dir)
		if want := fmt.Sprintf("pruned: to %d, 2000-01-0", gone[0].Seq); !has(verifyDir(t, dir), want) {
			t.Errorf("verify does not say %q: %q", want, findings(verifyDir(t, dir)))
		}
		days(t, l, 1) // it goes on
		time.Sleep(checkpointEvery)
		synctest.Wait()
		wantClean(t, dir)

		// Again: the second prune's record takes the place of the first.
		prune(t, dir, began.AddDate(0, 0, 8))
		wantClean(t, dir)

		// Closed and old: nothing is left but what says so.
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		gone = prune(t, dir, time.Now())
		whole := slices.ContainsFunc(gone, func(p Pruned) bool { return p.Whole })
		if !whole {
			t.Errorf("pruned %+v, want a whole stream", gone)
		}
		wantClean(t, dir)
		if left, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix)); len(left) != 1 {
			t.Errorf("%d files left, want the prune's own", len(left))
		}
	})
}

// A record of what was pruned stays as long as a stream needs it.
func TestPruneKeepsWhatVerifyNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "audit")
		l := openTest(t, Config{Directory: dir, SegmentAge: 240 * time.Hour})
		days(t, l, 15) // two files
		prune(t, dir, time.Now().AddDate(0, 0, -2))
		time.Sleep(24 * time.Hour)
		prune(t, dir, time.Now().Add(-time.Minute)) // the first prune's stream is old enough, the live one is not
		wantClean(t, dir)
		if !has(verifyDir(t, dir), "pruned: to ") {
			t.Errorf("the live stream's head is not accounted for: %q", findings(verifyDir(t, dir)))
		}
	})
}

// Interrupted between two deletions, the rest still verifies.
func TestPruneInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "audit")
		l := openTest(t, Config{Directory: dir})
		days(t, l, 6)
		saved := map[string][]byte{}
		files, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
		for _, f := range files {
			saved[f], _ = os.ReadFile(f)
		}
		gone := prune(t, dir, time.Now().AddDate(0, 0, -2))
		for _, base := range gone[0].Files[1:] {
			path := filepath.Join(dir, base)
			if err := os.WriteFile(path, saved[path], 0o400); err != nil {
				t.Fatal(err)
			}
		}
		wantClean(t, dir)
	})
}

func TestPruneRefusesWhatWasChanged(t *testing.T) {
	c := sample(t)
	c.edit(412, "select", "delete")
	c.write()
	_, err := Prune(context.Background(), PruneConfig{Directory: c.dir, Before: time.Now().Add(time.Hour)})
	if !errors.Is(err, ErrTampered) {
		t.Errorf("Prune: %v, want ErrTampered", err)
	}
	if files, _ := filepath.Glob(filepath.Join(c.dir, "*"+segmentSuffix)); len(files) != len(c.files) {
		t.Errorf("%d files left of %d", len(files), len(c.files))
	}
}

// A head that is gone without a record of it, or with one by another key, is missing.
func TestPruneByHandIsFound(t *testing.T) {
	c := sample(t)
	prune(t, c.dir, time.Now().Add(time.Hour))
	c.write() // the stream is back, without its first file
	os.Remove(filepath.Join(c.dir, c.files[0]))
	if !has(verifyDir(t, c.dir), "pruned: to") {
		t.Error("a declared head is not accepted")
	}
	files, _ := filepath.Glob(filepath.Join(c.dir, "*"+segmentSuffix))
	for _, f := range files {
		if !slices.Contains(c.files, filepath.Base(f)) {
			os.Remove(f) // the prune's stream
		}
	}
	if !has(verifyDir(t, c.dir), "missing: seq 1-") {
		t.Error("an undeclared head is accepted")
	}
}

func TestTailFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "audit")
		l := openTest(t, Config{Directory: dir, SegmentSize: 3000})
		for i := range 20 {
			l.AppendDurable(context.Background(), stmtRecord(fmt.Sprintf("old %d", i)))
		}
		var got []string
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error)
		go func() {
			done <- Tail(ctx, TailConfig{Directory: dir, Query: Query{Event: "statement"}, Lines: 2, Follow: true, Visit: func(m *Match) error {
				got = append(got, m.Row().Detail)
				return nil
			}})
		}()
		synctest.Wait()
		for i := range 20 {
			l.AppendDurable(context.Background(), stmtRecord(fmt.Sprintf("new %d", i)))
		}
		second := openTest(t, Config{Directory: dir, Node: "gw2"})
		second.AppendDurable(context.Background(), stmtRecord("another process"))
		time.Sleep(time.Second)
		synctest.Wait()
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want := []string{"old 18", "old 19"}
		for i := range 20 {
			want = append(want, fmt.Sprintf("new %d", i))
		}
		want = append(want, "another process")
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A settled feed gives each line once, none that a failure could take back, and goes on from the
// positions it gave.
func TestSettledFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "audit")
		files := dropfs.New()
		l := openTest(t, Config{Directory: dir, Files: onDisk{files}, SegmentSize: 3000})
		var own, foreign [][]byte
		read := func(f *Feed, into *[][]byte) {
			t.Helper()
			if _, err := f.Read(context.Background(), func(e *Entry) error {
				*into = append(*into, bytes.Clone(e.Text))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		of, ff := NewFeed(dir, nil, true, l), NewFeed(dir, nil, true, nil)
		for i := range 50 {
			l.Append(stmtRecord(fmt.Sprint(i)))
			time.Sleep(time.Second / 3)
			synctest.Wait()
			read(of, &own)
			read(ff, &foreign)
			of, ff = NewFeed(dir, of.Positions(), true, l), NewFeed(dir, ff.Positions(), true, nil)
			file, offset := l.Durable()
			if b, _ := os.ReadFile(filepath.Join(dir, file)); int64(len(b)) < offset {
				t.Fatalf("durable to %d of %d", offset, len(b))
			}
		}
		if len(own) <= len(foreign) {
			t.Errorf("%d lines of our own stream and %d by its checkpoints: want more of our own", len(own), len(foreign))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		read(of, &own)
		read(ff, &foreign)
		all := readLines(t, dir)
		for what, got := range map[string][][]byte{"own": own, "foreign": foreign} {
			if !slices.EqualFunc(got, all, bytes.Equal) {
				t.Errorf("%s: %d lines, want the record's %d", what, len(got), len(all))
			}
		}
	})
}

// A visit that fails gets its line again.
func TestFeedRepeats(t *testing.T) {
	c := sample(t)
	f := NewFeed(c.dir, nil, true, nil)
	broken := errors.New("broken")
	last := int64(0)
	for try := 0; ; try++ {
		_, err := f.Read(context.Background(), func(e *Entry) error {
			if e.Seq%1000 == 0 && try%2 == 0 && e.Seq != last {
				last = e.Seq
				return broken
			}
			if e.Seq == last {
				last = 0
			}
			return nil
		})
		if err == nil {
			break
		}
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
	}
	for _, p := range f.Positions() {
		if p.File != c.files[len(c.files)-1] {
			t.Errorf("ended in %s", p.File)
		}
	}
}

// What a sink has not copied stays until it has, or until somebody says that it may go.
func TestPruneWaitsForSinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "audit")
		l := openTest(t, Config{Directory: dir})
		days(t, l, 6)
		before := time.Now().AddDate(0, 0, -2)
		cfg := PruneConfig{Directory: dir, Before: before, DryRun: true}
		would, err := Prune(t.Context(), cfg)
		if err != nil || len(would) != 1 || len(would[0].Files) < 3 {
			t.Fatalf("would prune %+v, %v", would, err)
		}
		last := would[0].Files[len(would[0].Files)-1]
		next := l.file
		size := func(base string) int64 {
			st, err := os.Stat(filepath.Join(dir, base))
			if err != nil {
				t.Fatal(err)
			}
			return st.Size()
		}
		write := func(name, text string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		at := func(file string, offset int64) string {
			return fmt.Sprintf(`{"streams":{%q:{"file":%q,"offset":%d}}}`, l.stream, file, offset)
		}
		for _, tt := range []struct{ name, cursor, want string }{
			{"never delivered", "", would[0].Files[0] + " (sink-far.cursor is nowhere"},
			{"another stream", `{"streams":{}}`, would[0].Files[0]},
			{"at the first file", at(would[0].Files[0], size(would[0].Files[0])), would[0].Files[1]},
			{"a byte short", at(last, size(last)-1), last + " (sink-far.cursor is at " + last + ", byte"},
			{"another directory", `{"key":"gw9+00000000+AAAA","streams":{}}`, "another directory"},
			{"unreadable", "{", "sink-far.cursor"},
			{"at its end", at(last, size(last)), ""},
			{"beyond", at(next, 0), ""},
		} {
			write("sink-far.lock", "")
			if tt.cursor != "" {
				write("sink-far.cursor", tt.cursor)
			}
			for _, dry := range []bool{true, false} {
				cfg.DryRun = dry || tt.want == ""
				_, err := Prune(t.Context(), cfg)
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
				}
			}
			if size(would[0].Files[0]) == 0 {
				t.Fatalf("%s: the first file is gone", tt.name)
			}
		}
		write("sink-far.cursor", `{"streams":{}}`)
		cfg.DryRun = false
		if _, err := Prune(t.Context(), cfg); !errors.Is(err, ErrUncopied) {
			t.Errorf("pruned with %v, want %v", err, ErrUncopied)
		}
		cfg.EvenUncopied = true
		if gone, err := Prune(t.Context(), cfg); err != nil || len(gone) != 1 {
			t.Errorf("pruned %+v, %v", gone, err)
		}
		wantClean(t, dir)
	})
}

// Interrupted where it deletes what a recovery set aside, prune leaves nothing that looks like tampering.
func TestPruneInterruptedAtARecovery(t *testing.T) {
	c := sampleOf(t, 300, 20_000)
	last := len(c.lines) - 1
	c.lines[last][len(c.lines[last])-1] = "half a line"
	c.write()
	openTest(t, Config{Directory: c.dir}).Close()
	keys, err := LoadKeys(filepath.Join(c.dir, vkeyFile))
	if err != nil {
		t.Fatal(err)
	}
	p := &pruner{cfg: PruneConfig{Directory: c.dir, Before: time.Now().Add(time.Hour), CheckpointKey: filepath.Join(c.dir, keyFile)}, signer: c.signer(), known: keys}
	if err := errors.Join(p.plan(), p.record(t.Context())); err != nil || len(p.done) == 0 || !p.done[0].Whole {
		t.Fatalf("%+v, %v", p.done, err)
	}
	torn := filepath.Join(c.dir, strings.Replace(c.files[last], segmentSuffix, tornSuffix, 1))
	aside, err := os.ReadFile(torn)
	if err == nil {
		err = errors.Join(os.Remove(torn), os.MkdirAll(filepath.Join(torn, "x"), 0o700)) // which Remove leaves
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := p.remove(); err == nil {
		t.Fatal("nothing interrupted it")
	}
	if err := errors.Join(os.RemoveAll(torn), os.WriteFile(torn, aside, 0o400)); err != nil {
		t.Fatal(err)
	}
	wantClean(t, c.dir)
	if _, err := os.Stat(filepath.Join(c.dir, c.files[last])); err == nil {
		t.Error("what was set aside goes before its segment")
	}
}
