package audit

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/mod/sumdb/note"
)

// maxKeyFile is the largest key file read, in bytes.
const maxKeyFile = 1 << 20

// loadSigner reads the signing key at path, in note's text form, and makes it on first start: 0600,
// for the signer pgsignet-audit/NODE. Its public half is added to DIR/audit.vkey when not there yet,
// so that streams signed by an earlier key still verify.
func loadSigner(path, dir, node string) (note.Signer, error) {
	text, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = makeKey(path, node)
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint key: %w", err)
	}
	signer, err := note.NewSigner(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("checkpoint key %s: %w", path, err)
	}
	vkey, err := publicKey(text)
	if err != nil {
		return nil, fmt.Errorf("checkpoint key %s: %w", path, err)
	}
	return signer, publish(filepath.Join(dir, vkeyFile), vkey)
}

// makeKey writes a new key to path and returns it.
func makeKey(path, node string) (string, error) {
	skey, _, err := note.GenerateKey(rand.Reader, "pgsignet-audit/"+node)
	if err != nil {
		return "", err
	}
	return skey, writeNew(path, skey+"\n", 0o600)
}

// writeNew writes a file that must not exist, whole and durable or not at all.
func writeNew(path, text string, perm fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(path)
		return err
	}
	return osFiles{}.SyncDir(filepath.Dir(path))
}

// ReadSecret is readSecret for the files of sinks.
func ReadSecret(path string) (string, error) { return readSecret(path) }

// readSecret reads a key file by the rule of libpq: a regular file, nothing for others, and for the
// group only when root owns it; at most 1 MiB. One open, so that what is checked is what is read.
func readSecret(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	open := fs.FileMode(0o077)
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Uid == 0 {
		open = 0o037
	}
	switch {
	case !st.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file", path)
	case st.Mode()&open != 0:
		return "", fmt.Errorf("%s has group or world access; permissions should be u=rw (0600) or less", path)
	case st.Size() > maxKeyFile:
		return "", fmt.Errorf("%s is larger than 1 MiB", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	return string(text), err
}

// publish adds vkey as a line of the file at path. Of two processes that do so at once each adds its own:
// the file may hold a key twice.
func publish(path, vkey string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for l := range bytes.Lines(old) {
		if string(bytes.TrimSpace(l)) == vkey {
			return nil
		}
	}
	line := vkey + "\n"
	if len(old) > 0 && old[len(old)-1] != '\n' {
		line = "\n" + line // somebody's editor, or a crash
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, line)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// LoadKeys reads public keys in note's text form, one a line, as audit.vkey holds them.
func LoadKeys(path string) (note.Verifiers, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []note.Verifier
	seen := map[string]bool{} // note trusts no key that it is given twice
	for l := range bytes.Lines(text) {
		vkey := string(bytes.TrimSpace(l))
		if vkey == "" || vkey[0] == '#' || seen[vkey] {
			continue
		}
		seen[vkey] = true
		v, err := note.NewVerifier(vkey)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, v)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no key", path)
	}
	return note.VerifierList(all...), nil
}
