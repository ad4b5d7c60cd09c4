package main

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pgsignet/pgsignet/broker/config"
)

// TestA120NothingIsDumped: before a process reads a key, there is no core dump of it any more, and nobody of
// the same user may read its memory.
func TestA120NothingIsDumped(t *testing.T) {
	t.Cleanup(func() { unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) })
	cfg := &config.Config{Listeners: []config.Listener{{Name: "main", MaxClients: 1 << 40}}}
	p := newProcess(cfg, nil, io.Discard)
	defer p.close()
	if err := p.open(); err == nil {
		t.Fatal("opened with too few descriptors")
	}
	if got, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); got != 0 || err != nil {
		t.Errorf("PR_GET_DUMPABLE is %d (%v), want 0", got, err)
	}
}
