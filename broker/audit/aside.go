package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// What verify says of the ends that recoveries set aside.

// recovered reports what a recovery checkpoint set aside, and whether that is still as it was.
func (w *walk) recovered(at place, c checkpoint) {
	if c.torn == "" {
		w.add(at, FoundRecovered, "%d bytes of %s given up after %d", c.bytes, c.file, w.last.seq)
		return
	}
	if w.aside == nil {
		w.aside = map[string]bool{}
	}
	w.aside[c.torn] = true
	w.add(at, FoundRecovered, "%d bytes after %d set aside in %s", c.bytes, w.last.seq, c.torn)
	if _, first, ok := parseSegment(c.file); ok && first < w.begin {
		return // pruned with its segment
	}
	switch sum, err := sumOf(filepath.Join(w.run.cfg.Directory, filepath.Base(c.torn)), c.bytes); {
	case errors.Is(err, fs.ErrNotExist):
		w.add(at, FoundMissing, "%s", c.torn)
	case err != nil || sum != c.sha256:
		w.add(at, FoundChanged, "%s is not what was set aside", c.torn)
	}
	w.regrown(c)
}

// regrown reports what stands again where a recovery cut a file off: nothing of it counts.
func (w *walk) regrown(c checkpoint) {
	base := filepath.Base(c.file)
	if base == w.seg.base() {
		return // all of it was set aside, and the file begins anew with c
	}
	if st, err := os.Lstat(filepath.Join(w.run.cfg.Directory, base)); err == nil && st.Size() > c.from {
		w.add(place{file: base}, FoundInserted, "%d bytes behind byte %d, where it was cut off", st.Size()-c.from, c.from)
	}
}

// sumOf is the SHA-256 of the file at path, in hex. It is an error when that is no plain file of so many bytes:
// what somebody put there instead may have no end.
func sumOf(path string, size int64) (string, error) {
	st, err := os.Lstat(path)
	switch {
	case err != nil:
		return "", err
	case !st.Mode().IsRegular() || st.Size() != size:
		return "", errors.New("another file")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.CopyN(h, f, size)
	return hex.EncodeToString(h.Sum(nil)), err
}

// torn checks the files that recoveries set aside, and names those no recovery speaks of.
func (w *walk) torn(dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, escapeGlob(w.name)+"-*"+tornSuffix))
	for _, f := range files {
		base := filepath.Base(f)
		if st, err := os.Stat(f); err == nil && !w.aside[base] && strings.HasPrefix(base, w.name+"-") {
			w.add(place{file: base}, FoundRecovered, "%d bytes, set aside before any line", st.Size())
		}
	}
}

// escapeGlob makes a stream's name match itself alone.
func escapeGlob(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}
