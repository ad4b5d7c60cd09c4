// Package dropfs is a file layer for tests that forgets at a kill what was not synced, as a machine does
// that loses power: the page cache outlives a kill -9 and would hide a missing fdatasync.
//
// It keeps nothing in memory but lengths: the files are real ones.
package dropfs

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// Disk is a file system that can be killed, filled, broken and held up. Its methods are safe for
// concurrent use, but for Torn and Holding, which are set and read by one goroutine.
type Disk struct {
	// Torn says how many of n bytes that were not synced stay at the kill: none, unless it is set.
	Torn func(n int64) int64
	// Holding tells that a sync waits for the hold to end.
	Holding chan struct{}

	mu    sync.Mutex
	dead  bool
	files map[string]*File
	fail  error // what everything returns, when set
	sync  error // what a sync and a cut return, when set
	room  int64 // bytes that may still be written; negative: no limit
	gate  chan struct{}
}

// File is one of its files, open for appending.
type File struct {
	fs              *Disk
	f               *os.File
	named           bool
	written, synced int64
}

var errDead = errors.New("killed")

// New returns a disk that works and has room.
func New() *Disk {
	return &Disk{files: map[string]*File{}, room: -1, Torn: func(int64) int64 { return 0 }}
}

// Create makes a new file.
func (d *Disk) Create(path string) (*File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.err(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	df := &File{fs: d, f: f}
	d.files[path] = df
	return df, nil
}

func (d *Disk) err() error {
	if d.dead {
		return errDead
	}
	return d.fail
}

// SyncDir makes the names in dir durable.
func (d *Disk) SyncDir(dir string) error {
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

// Write appends.
func (f *File) Write(p []byte) (int, error) {
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

// Hold stops the next sync until the function returned is called.
func (d *Disk) Hold() (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gate := make(chan struct{})
	d.gate, d.Holding = gate, make(chan struct{}, 1)
	return func() { close(gate) }
}

func (d *Disk) pass() {
	d.mu.Lock()
	gate, holding := d.gate, d.Holding
	d.gate = nil
	d.mu.Unlock()
	if gate != nil {
		holding <- struct{}{}
		<-gate
	}
}

// Sync makes what was written outlive a kill.
func (f *File) Sync() error {
	f.fs.pass()
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := cmp.Or(f.fs.err(), f.fs.sync); err != nil {
		return err
	}
	f.synced = f.written
	return nil
}

// Truncate cuts the file.
func (f *File) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := cmp.Or(f.fs.err(), f.fs.sync); err != nil {
		return err
	}
	f.written, f.synced = size, min(f.synced, size)
	return f.f.Truncate(size)
}

// Close closes it.
func (f *File) Close() error { return f.f.Close() }

// Kill ends the machine: unsynced bytes go, but for what Torn lets stay, and files without a durable
// name go as well.
func (d *Disk) Kill(t testing.TB) {
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
			if err := os.Truncate(path, f.synced+d.Torn(f.written-f.synced)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Fail makes everything return err; nil mends it.
func (d *Disk) Fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

// FailSync makes syncs and cuts return err; nil mends them.
func (d *Disk) FailSync(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sync = err
}

// Leave makes room for so many bytes more; negative: no limit.
func (d *Disk) Leave(room int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = room
}
