package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/hashicorp/hcl/v2"
)

// Largest files read, in bytes. A key or password is small; a CRL of a million entries is about 40 MB.
const (
	maxKeyFile  = 1 << 20
	maxCertFile = 4 << 20
	maxCRLFile  = 256 << 20
)

// file is a path of the configuration and where it is written.
type file struct {
	path string // absolute; "" when the attribute is absent or was reported
	at   hcl.Range
}

// file is the attribute's path, absolute: a relative one starts at the file that names it.
func (d *decoder) file(a *hcl.Attribute) file {
	if a == nil {
		return file{}
	}
	s := d.need(a)
	if s == "" {
		return file{}
	}
	return file{d.resolve(item{s, a.Expr.Range()}), a.Expr.Range()}
}

// files is a list of files or directories. An empty one is an error: a template that has come out without its
// CRLs or CAs would switch a check off.
func (d *decoder) files(a *hcl.Attribute) []file {
	if a == nil {
		return nil
	}
	var out []file
	if elems, diags := hcl.ExprList(a.Expr); len(elems) == 0 && !diags.HasErrors() {
		d.errorf(a.Expr.Range(), "Empty list", "%s names no file: %s = [\"FILE\"], or leave the line out if none is meant.", a.Name, a.Name)
	}
	for _, it := range d.list(a) {
		if it.text == "" {
			d.errorf(it.at, "Empty value", "%s names files; this name is empty.", a.Name)
			continue
		}
		if p := d.resolve(it); p != "" {
			out = append(out, file{p, it.at})
		}
	}
	return out
}

func names(files []file) []string {
	var out []string
	for _, f := range files {
		out = append(out, f.path)
	}
	return out
}

// read is the content of a file that anyone may read; ok is false when that was reported, or when
// there is nothing to read.
func (d *decoder) read(f file, limit int64) (data []byte, ok bool) {
	if f.path == "" {
		return nil, false
	}
	data, err := readFile(f.path, limit)
	if err != nil {
		d.unreadable(f, err)
		return nil, false
	}
	return data, true
}

// secret is the content of a file that only its owner may read (see checkSecret).
func (d *decoder) secret(f file) (data []byte, ok bool) {
	if f.path == "" {
		return nil, false
	}
	data, err := readSecret(f.path)
	if err != nil {
		d.unreadable(f, err)
		return nil, false
	}
	return data, true
}

func (d *decoder) unreadable(f file, err error) {
	var loose *looseError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.errorf(f.at, "Missing file", "There is no file %s.", f.path)
	case errors.As(err, &loose):
		d.errorf(f.at, "Secret that others can read", "%v", loose)
	default:
		d.errorf(f.at, "Unreadable file", "%v.", err)
	}
}

// readFile reads a whole regular file of at most limit bytes. It does not wait on a named pipe.
func readFile(name string, limit int64) ([]byte, error) {
	f, info, err := open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, info, limit)
}

// readSecret reads a key or password file whose owner and mode pass checkSecret, looked at after it
// was opened, so that what was checked is what is read.
func readSecret(name string) ([]byte, error) {
	f, info, err := open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkSecret(name, info); err != nil {
		return nil, err
	}
	return readAll(f, info, maxKeyFile)
}

func open(name string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

func readAll(f *os.File, info fs.FileInfo, limit int64) ([]byte, error) {
	if info.Size() > limit {
		return nil, fmt.Errorf("%s is larger than %s", f.Name(), formatSize(limit))
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %s", f.Name(), formatSize(limit))
	}
	return data, err
}

// looseError says that a secret is open to others, and what to do.
type looseError struct {
	path string
	mode fs.FileMode
	root bool // owned by root
}

func (e *looseError) Error() string {
	allowed := "0600 or less"
	if e.root {
		allowed = "0640 or less, since root owns it"
	}
	return fmt.Sprintf("%s has mode %04o; it must be %s: chmod 0600 %s", e.path, e.mode.Perm(), allowed, e.path)
}

// checkSecret is libpq's rule for key files (fe-secure-openssl.c): no access for others, and for the
// group at most reading, when root owns the file.
func checkSecret(name string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	root := ok && stat.Uid == 0
	forbidden := fs.FileMode(0o077)
	if root {
		forbidden = 0o037
	}
	if info.Mode().Perm()&forbidden != 0 {
		return &looseError{name, info.Mode(), root}
	}
	return nil
}
