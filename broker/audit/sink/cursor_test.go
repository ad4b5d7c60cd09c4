package sink

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/broker/audit"
)

func TestBrokenCursorIsAnError(t *testing.T) {
	l, dir := openLog(t, audit.Config{})
	s := newSink(t, Config{Directory: dir, Log: l}, &memory{})
	if err := os.WriteFile(s.cursorPath(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("Run: %v, want an error that says what to do", err)
	}
}

// A cursor that was copied from another directory is refused: by its streams alone the sink could not tell it
// from one whose streams were all pruned, and would send everything again under it.
func TestCursorOfAnotherDirectory(t *testing.T) {
	there, from := openLog(t, audit.Config{})
	here, dir := openLog(t, audit.Config{})
	ctx := t.Context()
	for _, l := range []*audit.Log{there, here} {
		if err := l.AppendDurable(ctx, statement(1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := newSink(t, Config{Directory: from, Log: there}, &memory{}).Once(ctx); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(audit.CursorPath(from, "test"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(audit.CursorPath(dir, "test"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	dst := &memory{}
	s := newSink(t, Config{Directory: dir, Log: here}, dst)
	for name, run := range map[string]func(context.Context) error{"Run": s.Run, "Once": s.Once} {
		if err := run(ctx); err == nil || !strings.Contains(err.Error(), "another directory") || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: %v, want an error that says whose it is and what to do", name, err)
		}
	}
	if dst.count() != 0 {
		t.Errorf("%d lines were sent all the same", dst.count())
	}
	// One of a version that did not say whose it is, or of a directory with a new key, goes on.
	for _, text := range []string{`{"streams":{}}`, string(text)} {
		vkey := filepath.Join(dir, "audit.vkey")
		keys, err := os.ReadFile(vkey)
		if err != nil {
			t.Fatal(err)
		}
		old, err := os.ReadFile(filepath.Join(from, "audit.vkey"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vkey, append(keys, old...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(audit.CursorPath(dir, "test"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Once(ctx); err != nil {
			t.Errorf("with cursor %s: %v", text, err)
		}
	}
}
