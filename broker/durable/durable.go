// Package durable replaces a file in one step that survives a crash.
//
// It does not append and it keeps nothing open: the record of access has its own files.
package durable

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// Replace puts data at path, with that mode. A reader sees the old file, the new one, or none, but never
// a part; when Replace has returned nil, the new one is there after a crash, too. It works in path's
// directory, and when it fails it leaves nothing there. A kill may leave a file .NAME.*, which nobody
// reads. It blocks until the disk has written and is safe for concurrent use: one of the files stays.
func Replace(path string, data []byte, mode os.FileMode) error {
	return replace(path, data, func(temp *os.File) error { return temp.Chmod(mode) })
}

// Rewrite is Replace of a file that is there: its owner, group and mode stay. It fails when they cannot.
func Rewrite(path string, data []byte) error {
	old, err := os.Stat(path)
	if err != nil {
		return err
	}
	return replace(path, data, func(temp *os.File) error {
		if st, ok := old.Sys().(*syscall.Stat_t); ok {
			if err := temp.Chown(int(st.Uid), int(st.Gid)); err != nil {
				return err
			}
		}
		return temp.Chmod(old.Mode().Perm())
	})
}

// replace is Replace; dress gives the new file, which CreateTemp made with mode 0600, its mode.
func replace(path string, data []byte, dress func(*os.File) error) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = fill(temp, data, dress)
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return syncDir(dir)
}

// fill writes, dresses, syncs and closes temp.
func fill(temp *os.File, data []byte, dress func(*os.File) error) error {
	_, err := temp.Write(data)
	if err == nil {
		err = dress(temp)
	}
	if err == nil {
		err = temp.Sync()
	}
	return errors.Join(err, temp.Close())
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
