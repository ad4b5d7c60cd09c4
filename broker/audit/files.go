package audit

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Files is what the writer needs of a file system. It is an interface so that a test can forget, at
// a kill, what was not synced: the page cache of a real machine survives a kill -9 and would hide a
// missing fdatasync.
type Files interface {
	// Create makes a new file, 0600, for appending. It fails when the file exists.
	Create(path string) (File, error)
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
}

// File is a segment being written.
type File interface {
	io.WriteCloser
	// Sync makes the bytes written durable, as fdatasync does.
	Sync() error
	// Truncate cuts the file; used only on one that is given up.
	Truncate(size int64) error
}

// osFiles is the real file system.
type osFiles struct{}

type osFile struct{ *os.File }

func (osFiles) Create(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFiles) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (f osFile) Sync() error { return datasync(f.File) }

// streamLock says that a stream's process lives. The kernel drops it when the process ends, however
// it ends; the file stays then, for whoever recovers the stream.
type streamLock struct {
	path string
	file *os.File
}

// errLocked: another process holds the lock.
var errLocked = fmt.Errorf("the stream's process is alive")

// lockStream takes the lock of stream in dir, or returns errLocked. It never blocks.
func lockStream(dir, stream string) (*streamLock, error) {
	path := filepath.Join(dir, stream+lockSuffix)
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			if err == syscall.EWOULDBLOCK {
				return nil, errLocked
			}
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if sameFile(f, path) {
			return &streamLock{path: path, file: f}, nil
		}
		f.Close() // its owner removed it between our open and our lock
	}
}

func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// release ends the lock and its file, in the order that lets nobody lock a file without a name.
func (l *streamLock) release() error {
	err := os.Remove(l.path)
	if cerr := l.file.Close(); err == nil {
		err = cerr
	}
	return err
}
