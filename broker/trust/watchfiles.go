package trust

import (
	"crypto/sha256"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// fileState is what a scan saw at one path: its contents' hash, or that it is missing or unreadable.
type fileState struct {
	id   fileID
	hash [sha256.Size]byte // zero when it could not be read
	err  string
}

// scan reads the state of every file that cfg names, directories expanded. A file whose times and
// size say that it did not change since old is not read again.
func scan(cfg *Config, old map[string]fileState) map[string]fileState {
	states := map[string]fileState{}
	add := func(path string, limit int64) {
		if path != "" {
			states[path] = stateOf(path, limit, old[path])
		}
	}
	add(cfg.CertFile, maxKeyFile)
	add(cfg.KeyFile, maxKeyFile)
	for _, path := range cfg.ClientCA {
		add(path, maxCAFile)
	}
	for _, files := range cfg.SPIFFE {
		for _, path := range files {
			add(path, maxCAFile)
		}
	}
	for _, path := range cfg.CRL {
		entries, err := os.ReadDir(path)
		if err != nil {
			add(path, maxCRLFile)
			continue
		}
		for _, e := range entries[:min(len(entries), maxCRLFiles)] {
			if name := filepath.Join(path, e.Name()); !strings.HasPrefix(e.Name(), ".") {
				if fi, err := os.Stat(name); err != nil || !fi.IsDir() {
					add(name, maxCRLFile)
				}
			}
		}
	}
	return states
}

func stateOf(path string, limit int64, old fileState) fileState {
	fi, err := os.Stat(path)
	if err != nil {
		return fileState{err: err.Error()}
	}
	st := fileState{id: fileIDOf(fi, time.Now())}
	if old.id.same(st.id) {
		return old
	}
	data, err := readFile(path, limit, false)
	if err != nil {
		st.err = err.Error()
		return st
	}
	st.hash = sha256.Sum256(data)
	return st
}

// sameContents compares two scans by what was read, not by when.
func sameContents(a, b map[string]fileState) bool {
	if len(a) != len(b) {
		return false
	}
	for path, st := range a {
		other, ok := b[path]
		if !ok || st.hash != other.hash || st.err != other.err {
			return false
		}
	}
	return true
}

// withoutPair is a scan without our own certificate and key.
func withoutPair(states map[string]fileState, cfg *Config) map[string]fileState {
	rest := maps.Clone(states)
	delete(rest, cfg.CertFile)
	delete(rest, cfg.KeyFile)
	return rest
}

// directories lists what to watch for cfg: the parents of every file, since a rename onto it or the
// ..data swap of Kubernetes happens there, those of links on the way, and the directories that they lead to.
// For one that is not there, as while another takes its place, it is the nearest above it.
func directories(cfg *Config) []string {
	w := way{dirs: map[string]bool{}, followed: map[string]bool{}}
	paths := slices.Concat([]string{cfg.CertFile, cfg.KeyFile}, cfg.ClientCA, cfg.CRL)
	for _, files := range cfg.SPIFFE {
		paths = append(paths, files...)
	}
	for _, path := range paths {
		if path != "" {
			w.follow(path, maxLinks)
		}
	}
	for _, path := range cfg.CRL {
		if fi, err := os.Stat(path); err == nil && fi.IsDir() {
			w.dirs[path] = true
		}
	}
	return slices.Sorted(maps.Keys(w.dirs))
}

// maxLinks bounds the links that are followed one behind the other: they may form a loop.
const maxLinks = 8

// way collects what may change the file that a path leads to.
type way struct{ dirs, followed map[string]bool }

// follow adds the directory that path is in, and goes on with the links that path and that directory are
// reached by.
func (w *way) follow(path string, depth int) {
	if depth == 0 || w.followed[path] {
		return
	}
	w.followed[path] = true
	w.dirs[nearest(filepath.Dir(path))] = true
	for dir := path; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		target, err := os.Readlink(dir)
		if err != nil {
			continue
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(dir), target)
		}
		w.follow(dir, depth-1)
		w.follow(target, depth-1)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		w.dirs[filepath.Dir(real)] = true
	}
}

// nearest is dir, or the nearest above it that exists.
func nearest(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}
