package config

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxSocketPath is the longest path of a Unix socket, in bytes: sun_path of unix(7) without its NUL.
const maxSocketPath = 107

// upgradeSocket is the longest file name put into runtime_dir.
const upgradeSocket = "upgrade.sock"

// minIdentityKey is the shortest key of `stamp` token, in bytes: that of HMAC-SHA256's output.
const minIdentityKey = 32

// runtimeDir is made by serve; here it must not be something else, nor too long for a socket in it.
func (d *decoder) runtimeDir(f file) string {
	if f.path == "" {
		return ""
	}
	d.directoryToBe(f)
	if len(filepath.Join(f.path, upgradeSocket)) > maxSocketPath {
		d.errorf(f.at, "Path too long", "A socket in %s would have a path of more than %d bytes.", f.path, maxSocketPath)
	}
	return f.path
}

// directoryToBe reports a path that cannot become a directory: something on it is a file.
func (d *decoder) directoryToBe(f file) (exists bool) {
	for path := f.path; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		switch {
		case err == nil && info.IsDir():
			return path == f.path
		case err == nil:
			d.errorf(f.at, "Not a directory", "%s is a file.", path)
			return false
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
			d.errorf(f.at, "Unreadable directory", "%v.", err)
			return false
		}
	}
}

func (d *decoder) auditDirectory(f file) {
	if f.path == "" || !d.directoryToBe(f) {
		return
	}
	if info, err := os.Stat(f.path); err == nil && info.Mode().Perm()&0o077 != 0 {
		d.warnf(f.at, "Audit that others can read", "%s has mode %04o and the audit names people and their statements: chmod 0700 %s.", f.path, info.Mode().Perm(), f.path)
	}
}

// checkpointKey is made on first start; one that is there must be as secret as any key.
func (d *decoder) checkpointKey(f file) {
	if f.path == "" {
		return
	}
	if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
		d.directoryToBe(file{filepath.Dir(f.path), f.at})
		return
	}
	d.secret(f)
}

func (d *decoder) socketPath(f file) string {
	if f.path == "" {
		return ""
	}
	if len(f.path) > maxSocketPath {
		d.errorf(f.at, "Path too long", "The path of a Unix socket has at most %d bytes; %s is longer.", maxSocketPath, f.path)
	}
	info, err := os.Lstat(f.path)
	switch {
	case err == nil && info.Mode()&fs.ModeSocket == 0:
		d.errorf(f.at, "Not a socket", "%s exists and is no socket.", f.path)
	case err != nil:
		d.directoryToBe(file{filepath.Dir(f.path), f.at})
	}
	return f.path
}

// locksFile is written by LOCK and read at start; its directory must be there.
func (d *decoder) locksFile(f file) string {
	if f.path == "" {
		return ""
	}
	info, err := os.Stat(f.path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		d.errorf(f.at, "Not a file", "%s is not a regular file.", f.path)
	case err == nil && info.Mode().Perm()&0o022 != 0:
		d.warnf(f.at, "Locks that others can change", "%s has mode %04o, and whoever can write it can unlock a certificate: chmod 0600 %s.", f.path, info.Mode().Perm(), f.path)
	case err != nil:
		d.directoryOf(f)
	}
	return f.path
}

// directoryOf reports that the directory of a file to be made is missing.
func (d *decoder) directoryOf(f file) {
	dir := filepath.Dir(f.path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		d.errorf(f.at, "Missing directory", "There is no directory %s for %s.", dir, filepath.Base(f.path))
	}
}

// identityKey is the secret that pgsignet.identity() checks tokens with.
func (d *decoder) identityKey(f file) string {
	data, ok := d.secret(f)
	if n := len(bytes.TrimSpace(data)); ok && n < minIdentityKey {
		d.errorf(f.at, "Key too short", "%s holds %d bytes; write at least %d: openssl rand -hex 32 > %s", f.path, n, minIdentityKey, f.path)
	}
	return f.path
}

// roleVariable is what a password file's path is completed with.
const roleVariable = "{role}"

// passwordFile is one file for every role, or a path that each role completes; then the part before
// that must be there.
func (d *decoder) passwordFile(f file) {
	fixed, _, perRole := strings.Cut(f.path, roleVariable)
	if !perRole {
		d.secret(f)
		return
	}
	dir := filepath.Dir(fixed + "x")
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		d.errorf(f.at, "Missing directory", "There is no directory %s for the password files %s.", dir, f.path)
	}
}
