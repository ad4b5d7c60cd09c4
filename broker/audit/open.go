package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Open closes what dead processes left open in the directory, starts this process's stream and signs
// its start. It fails with a *BreakError when such a stream was changed before its last checkpoint.
func Open(cfg Config) (*Log, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := privateDir(cfg.Directory); err != nil {
		return nil, err
	}
	signer, err := loadSigner(cfg.CheckpointKey, cfg.Directory, cfg.Node)
	if err != nil {
		return nil, err
	}
	if err := recoverStreams(cfg, signer); err != nil {
		return nil, err
	}
	clean, err := newPrivacy(cfg.Redact)
	if err != nil {
		return nil, err
	}
	stream, lock, err := newStream(cfg.Directory, cfg.Node)
	if err != nil {
		return nil, err
	}
	l := &Log{cfg: cfg, privacy: clean, stream: stream, lock: lock, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), done: make(chan struct{})}
	l.batch = newBatch()
	w := newWriter(l, stream, signer)
	if err := w.begin(); err != nil {
		lock.release()
		return nil, err
	}
	go w.run() // joined by Close
	return l, nil
}

// privateDir makes dir, or takes from others what they may do in it.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if st.Mode().Perm() == 0o700 {
		return nil
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("%s must be 0700: %w", dir, err)
	}
	return nil
}

// newStream picks a name that no stream has, and locks it.
func newStream(dir, node string) (string, *streamLock, error) {
	for {
		stream := streamName(node, time.Now())
		old, err := filepath.Glob(filepath.Join(dir, escapeGlob(stream)+"-*"))
		if err != nil {
			return "", nil, err
		}
		if len(old) > 0 {
			continue
		}
		lock, err := lockStream(dir, stream)
		if errors.Is(err, errLocked) {
			continue
		}
		return stream, lock, err
	}
}
