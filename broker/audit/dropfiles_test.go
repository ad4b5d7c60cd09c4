package audit

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// dropFiles is a file system that forgets at kill what was not synced, as a machine does that loses
// power. The page cache outlives a kill -9 and would hide a missing fdatasync.
type dropFiles struct {
	mu    sync.Mutex
	dead  bool
	files map[string]*dropFile
	fail  error // what everything returns, when set
	sync  error // what a sync and a cut return, when set
	room  int64 // bytes that may still be written; negative: no limit
	torn  func(n int64) int64

	holding chan struct{} // a sync waits for the hold to end
	gate    chan struct{}
}

type dropFile struct {
	fs              *dropFiles
	f               *os.File
	named           bool
	written, synced int64
}

var errDead = errors.New("killed")

func newDropFiles() *dropFiles {
	return &dropFiles{files: map[string]*dropFile{}, room: -1, torn: func(int64) int64 { return 0 }}
}

func (d *dropFiles) Create(path string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.err(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	df := &dropFile{fs: d, f: f}
	d.files[path] = df
	return df, nil
}

func (d *dropFiles) err() error {
	if d.dead {
		return errDead
	}
	return d.fail
}

func (d *dropFiles) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.err(); err != nil {
		return err
	}
	for path, f := range d.files {
		f.named = f.named || filepath.Dir(path) == dir
	}
	return nil
}

func (f *dropFile) Write(p []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.err(); err != nil {
		return 0, err
	}
	var full error
	if f.fs.room >= 0 && int64(len(p)) > f.fs.room {
		p, full = p[:f.fs.room], syscall.ENOSPC
	}
	n, err := f.f.Write(p)
	f.written += int64(n)
	if f.fs.room >= 0 {
		f.fs.room -= int64(n)
	}
	return n, errors.Join(err, full)
}

// hold stops the next sync until the function returned is called.
func (d *dropFiles) hold() (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gate := make(chan struct{})
	d.gate, d.holding = gate, make(chan struct{}, 1)
	return func() { close(gate) }
}

func (d *dropFiles) pass() {
	d.mu.Lock()
	gate := d.gate
	d.gate = nil
	d.mu.Unlock()
	if gate != nil {
		d.holding <- struct{}{}
		<-gate
	}
}

func (f *dropFile) Sync() error {
	f.fs.pass()
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := cmp.Or(f.fs.err(), f.fs.sync); err != nil {
		return err
	}
	f.synced = f.written
	return nil
}

func (f *dropFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := cmp.Or(f.fs.err(), f.fs.sync); err != nil {
		return err
	}
	f.written, f.synced = size, min(f.synced, size)
	return f.f.Truncate(size)
}

func (f *dropFile) Close() error { return f.f.Close() }

// kill ends the machine: unsynced bytes go, but for what torn lets stay, and files without a durable
// name go as well.
func (d *dropFiles) kill(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	for path, f := range d.files {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if !f.named {
			os.Remove(path)
			continue
		}
		if f.written > f.synced {
			if err := os.Truncate(path, f.synced+d.torn(f.written-f.synced)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (d *dropFiles) set(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

func (d *dropFiles) failSync(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sync = err
}

func (d *dropFiles) leave(room int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = room
}
