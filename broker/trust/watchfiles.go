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
// ..data swap of Kubernetes happens there, and the directories that links on the way lead to.
func directories(cfg *Config) []string {
	var dirs []string
	add := func(path string) {
		for range 8 { // links may form a loop
			dirs = append(dirs, filepath.Dir(path))
			target, err := os.Readlink(path)
			if err != nil {
				break
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(filepath.Dir(path), target)
			}
			path = target
		}
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	for _, path := range slices.Concat([]string{cfg.CertFile, cfg.KeyFile}, cfg.ClientCA, cfg.CRL) {
		if path != "" {
			add(path)
		}
	}
	for _, files := range cfg.SPIFFE {
		for _, path := range files {
			add(path)
		}
	}
	for _, path := range cfg.CRL {
		if fi, err := os.Stat(path); err == nil && fi.IsDir() {
			dirs = append(dirs, path)
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}
