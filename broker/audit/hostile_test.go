package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/dropfs"
)

// A long text that a client runs again and again by short messages is in the queue once, whatever runs between,
// and each of its records says of it what the first does.
func TestOneLongTextManyTimes(t *testing.T) {
	l := openTest(t, Config{})
	refs := &Refs{SID: "0199"}
	long := "select 1 /* " + strings.Repeat("it's 'long' ", 20<<10) + "*/"
	other := "create role x password 'hunter2' /* " + strings.Repeat("and long ", 20<<10) + "*/"
	const rounds = 2000
	for i := range rounds {
		for _, text := range []string{long, other} {
			if err := l.AppendStatement(refs, &Ran{Stmt: Stmt{ID: uint64(i), Phase: PhaseAll, Op: "execute", Text: text, Message: "about 'hunter2'"}}); err != nil {
				t.Fatalf("record %d: %v", i, err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(long))
	files, _ := filepath.Glob(filepath.Join(l.cfg.Directory, "*"+segmentSuffix))
	whole, masked := 0, 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			switch {
			case strings.Contains(line, `"text_sha256":"`+hex.EncodeToString(sum[:])):
				whole++
			case strings.Contains(line, `password '***'`) && strings.Contains(line, `"redacted":true`):
				masked++
			}
			if strings.Contains(line, "create role") && strings.Contains(line, "hunter2") {
				t.Fatal("a record has the password")
			}
		}
	}
	if whole != rounds || masked != rounds {
		t.Errorf("%d and %d records, want %d of each", whole, masked, rounds)
	}
}

// Whoever fills the queue faster than it is written loses his own records: what others do, his own logins and
// refusals are still recorded.
func TestQueueKeepsAPartForOthers(t *testing.T) {
	disk := dropfs.New()
	l := openTest(t, Config{QueueRecords: 64, Files: onDisk{disk}})
	release := disk.Hold()
	defer release()
	l.Submit(stmtRecord("select 0"))
	<-disk.Holding
	loud, quiet := &Refs{SID: "1", CertSHA256: "aa"}, &Refs{SID: "2", CertSHA256: "bb"}
	add := func(refs *Refs) error {
		return l.AppendStatement(refs, &Ran{Stmt: Stmt{ID: 1, Phase: PhaseAll, Op: "query", Text: "select 1"}})
	}
	n := 0
	for add(loud) == nil {
		n++
	}
	if n != 56 {
		t.Errorf("alone it may have %d records queued, want seven eighths of 64", n)
	}
	for i := range 4 {
		if err := add(quiet); err != nil {
			t.Errorf("another's record %d: %v", i, err)
		}
		if err := l.Append(&Record{Event: SessionOpen, SID: fmt.Sprint(i)}); err != nil {
			t.Errorf("session %d: %v", i, err)
		}
		if err := add(loud); !errors.Is(err, ErrLost) {
			t.Errorf("the loud one's: %v, want %v", err, ErrLost)
		}
	}
}
