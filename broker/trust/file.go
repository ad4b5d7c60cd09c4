package trust

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

const (
	maxKeyFile  = 1 << 20  // bytes of a key or certificate file (T82)
	maxCAFile   = 16 << 20 // bytes of one CA bundle
	secretBits  = 0o077    // group and world may do nothing,
	secretBits0 = 0o037    // but a group may read what root owns (libpq's rule)
)

// errChanged is returned when a file was written to while it was being read; the next event retries.
var errChanged = errors.New("changed while it was being read")

// readFile reads a regular file of at most limit bytes through one descriptor, so that what is
// checked is what is read. With secret set the file must also be safe from other users (T82).
func readFile(path string, limit int64, secret bool) ([]byte, error) {
	// O_NONBLOCK: opening a FIFO must not wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkFile(path, before, limit, secret); err != nil {
		return nil, err
	}
	data := make([]byte, before.Size()+1) // one more, to see it grow
	n, err := io.ReadFull(f, data)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	data = data[:n]
	after, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != before.Size() || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return nil, fmt.Errorf("%s %w", path, errChanged)
	}
	return data, nil
}

func checkFile(path string, fi fs.FileInfo, limit int64, secret bool) error {
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file (%s)", path, fi.Mode().Type())
	}
	if fi.Size() > limit {
		return fmt.Errorf("%s has %d bytes, more than %d", path, fi.Size(), limit)
	}
	if !secret {
		return nil
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: owner unknown", path)
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to uid %d: a private key must belong to root or to uid %d", path, st.Uid, os.Geteuid())
	}
	forbidden := fs.FileMode(secretBits)
	if st.Uid == 0 {
		forbidden = secretBits0
	}
	if perm := fi.Mode().Perm(); perm&forbidden != 0 {
		return fmt.Errorf("%s has group or world access (mode %#o): it must be 0600 or less, or 0640 or less if root owns it", path, perm)
	}
	return nil
}
