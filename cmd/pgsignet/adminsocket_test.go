package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The console's socket replaces one that a dead process has left, and nothing else.
func TestListenSocketReplacesDeadSocketsOnly(t *testing.T) {
	dir, err := os.MkdirTemp("", "sock") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "admin.sock")
	l, err := listenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenSocket(path); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("beside a live one: %v", err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if l, err = listenSocket(path); err != nil {
		t.Fatalf("in place of a dead one: %v", err)
	}
	l.Close()

	file, link := filepath.Join(dir, "locks.json"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link} {
		if _, err := listenSocket(path); err == nil || !strings.Contains(err.Error(), "is no socket") {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
	if text, err := os.ReadFile(link); err != nil || string(text) != "kept" {
		t.Errorf("the file is now %q, %v", text, err)
	}
	want := "no broker answers on " + path + ": connect: no such file or directory"
	if _, err := dialConsole(t.Context(), consoleFlags{socket: path}); err == nil || err.Error() != want {
		t.Errorf("the console's client says %v, want %q", err, want)
	}
}
