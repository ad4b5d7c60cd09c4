package trust

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	maxCRLFile  = 256 << 20 // bytes
	maxCRLFiles = 4096      // in one directory
)

// crlStore holds the lists of one snapshot. It is immutable but for what it remembers.
type crlStore struct {
	files    map[string]*crlFile // by path
	byIssuer map[string][]*crl   // by raw issuer name, the newest of each scope first

	mu     sync.Mutex
	chosen map[fingerprint][]*crl // by issuer certificate: those that count for it
}

// crlFile is one file as it was read.
type crlFile struct {
	id    fileID
	hash  [sha256.Size]byte
	lists []*crl
}

// fileID tells whether a file could have changed since it was read.
type fileID struct {
	dev, ino   uint64
	size       int64
	changed    syscall.Timespec // ctime: cannot be set back
	modified   time.Time
	conclusive bool // it was old enough when read that a later change shows
}

// racy is how long after a change a file's times may fail to show another one.
const racy = 2 * time.Second

func fileIDOf(fi os.FileInfo, read time.Time) fileID {
	id := fileID{size: fi.Size(), modified: fi.ModTime()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		id.dev, id.ino, id.changed = uint64(st.Dev), st.Ino, st.Ctim
		id.conclusive = read.Sub(time.Unix(st.Ctim.Unix())) > racy
	}
	return id
}

func (id fileID) same(other fileID) bool {
	return id.conclusive && id.dev == other.dev && id.ino == other.ino && id.size == other.size &&
		id.changed == other.changed && id.modified.Equal(other.modified)
}

// loadCRLs reads all files and directories. Junk in a named file is an error; in a directory that
// file is skipped, or its last good contents kept, with a notice (T53).
func (s *Snapshot) loadCRLs(prev *crlStore) (*crlStore, error) {
	store := &crlStore{files: map[string]*crlFile{}, byIssuer: map[string][]*crl{}, chosen: map[fingerprint][]*crl{}}
	if prev == nil {
		prev = &crlStore{}
	}
	for _, path := range s.cfg.CRL {
		fi, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !fi.IsDir() {
			if store.files[path], err = readCRLFile(path, prev.files[path]); err != nil {
				return nil, err
			}
			continue
		}
		if err := s.loadCRLDir(store, prev, path); err != nil {
			return nil, err
		}
	}
	store.index()
	s.keepNewer(store, prev)
	return store, nil
}

func (s *Snapshot) loadCRLDir(store, prev *crlStore, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > maxCRLFiles {
		return fmt.Errorf("%s holds %d files, more than %d", dir, len(entries), maxCRLFiles)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") { // ..data and ..2026_11_22 of Kubernetes
			continue
		}
		if fi, err := os.Stat(path); err == nil && fi.IsDir() {
			continue
		}
		old := prev.files[path]
		file, err := readCRLFile(path, old)
		switch {
		case err == nil:
			store.files[path] = file
		case old != nil && !os.IsNotExist(err):
			store.files[path] = old
			s.notice("crl_skipped", path, "%v; its last good contents are kept", err)
		default:
			s.notice("crl_skipped", path, "%v", err)
		}
	}
	return nil
}

// readCRLFile reads and parses a file, or takes over old where it is the same.
func readCRLFile(path string, old *crlFile) (*crlFile, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	id := fileIDOf(fi, time.Now())
	if old != nil && old.id.same(id) {
		return old, nil
	}
	data, err := readFile(path, maxCRLFile, false)
	if err != nil {
		return nil, err
	}
	file := &crlFile{id: id, hash: sha256.Sum256(data)}
	if old != nil && old.hash == file.hash {
		file.lists = old.lists
		return file, nil
	}
	file.lists, err = parseCRLs(path, data)
	return file, err
}

// index groups the lists by issuer; a list that occurs twice counts once.
func (st *crlStore) index() {
	seen := map[string]bool{}
	for _, path := range sortedKeys(st.files) {
		for _, l := range st.files[path].lists {
			if !seen[l.id] {
				seen[l.id] = true
				st.byIssuer[string(l.issuer)] = append(st.byIssuer[string(l.issuer)], l)
			}
		}
	}
	for _, lists := range st.byIssuer {
		sortNewest(lists)
	}
}

// sortNewest puts the newest first. Where one list of an issuer has no number, dates decide for all,
// so that the order is one.
func sortNewest(lists []*crl) {
	byDate := slices.ContainsFunc(lists, func(l *crl) bool { return l.number == nil })
	slices.SortStableFunc(lists, func(a, b *crl) int {
		if byDate {
			return cmp.Or(b.thisUpdate.Compare(a.thisUpdate), b.compare(a))
		}
		return b.compare(a)
	})
}

// compare orders two lists by CRL number, then thisUpdate; without both numbers thisUpdate decides (T56).
func (l *crl) compare(other *crl) int {
	if l.number != nil && other.number != nil {
		if c := l.number.Cmp(other.number); c != 0 {
			return c
		}
	}
	return cmp.Or(l.thisUpdate.Compare(other.thisUpdate), bytes.Compare(l.signature, other.signature))
}

// keepNewer keeps a list in force although its file changed: where every list that replaces it is
// older, which is a rollback (T56), or is dated in the future, so that it does not count yet. The
// kept one stays beside the others; its number decides. One whose file is gone is gone (A65).
func (s *Snapshot) keepNewer(store, prev *crlStore) {
	for issuer, olds := range prev.byIssuer {
		for _, old := range olds {
			news := slices.DeleteFunc(slices.Clone(store.byIssuer[issuer]), func(l *crl) bool { return !l.replaces(old) })
			inForce := func(l *crl) bool { return l.id == old.id || l.compare(old) >= 0 && !l.thisUpdate.After(s.at) }
			if len(news) == 0 || slices.ContainsFunc(news, inForce) {
				continue
			}
			store.byIssuer[issuer] = append(store.byIssuer[issuer], old)
			sortNewest(store.byIssuer[issuer])
			kind, why := "crl_rollback", "older than"
			if news[0].compare(old) >= 0 {
				kind, why = "crl_future", "dated in the future, unlike"
			}
			s.notice(kind, news[0].file, "CRL of \"%s\" is %s the one in force (%s), which stays", nameText(old.issuer), why, old.name())
		}
	}
}

// nextActive is the earliest thisUpdate after now: from then on another list counts. Zero: none.
func (st *crlStore) nextActive(now time.Time) (next time.Time) {
	for _, lists := range st.byIssuer {
		for _, l := range lists {
			if l.thisUpdate.After(now) && (next.IsZero() || l.thisUpdate.Before(next)) {
				next = l.thisUpdate
			}
		}
	}
	return next
}

// replaces says that l is of the same key and scope as old, as far as is known.
func (l *crl) replaces(old *crl) bool {
	if l.unusable != "" || old.unusable != "" || !bytes.Equal(l.keyID, old.keyID) || !l.scope.equal(&old.scope) {
		return false
	}
	signer := old.knownSigner()
	return signer == nil || l.signedBy(signer)
}

// choose returns the lists that count for certificates issued by that certificate (T54), newest
// first. It checks signatures, each once.
func (st *crlStore) choose(issuer *x509.Certificate, id fingerprint) []*crl {
	st.mu.Lock()
	lists, ok := st.chosen[id]
	st.mu.Unlock()
	if ok {
		return lists
	}
	for _, l := range st.byIssuer[string(issuer.RawSubject)] {
		if l.countsFor(issuer) {
			lists = append(lists, l)
		}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.chosen) < maxEntries {
		st.chosen[id] = lists
	}
	return lists
}

func (l *crl) countsFor(issuer *x509.Certificate) bool {
	switch {
	case l.unusable != "":
		return false
	case hasExtension(issuer, oidKeyUsage) && issuer.KeyUsage&x509.KeyUsageCRLSign == 0:
		return false
	case l.keyID != nil && len(issuer.SubjectKeyId) > 0 && !bytes.Equal(l.keyID, issuer.SubjectKeyId):
		return false
	case l.akiSerial != nil && !bytes.Equal(bytes.TrimLeft(l.akiSerial, "\x00"), issuer.SerialNumber.Bytes()):
		return false
	}
	return l.signedBy(issuer)
}

// current is the end of the list's own validity: nextUpdate, else a day after thisUpdate (T57).
func (l *crl) current() time.Time {
	if l.nextUpdate.IsZero() {
		return l.thisUpdate.Add(24 * time.Hour)
	}
	return l.nextUpdate
}

// name tells one list of an issuer from another, for people.
func (l *crl) name() string {
	if l.number == nil {
		return "of " + stamp(l.thisUpdate)
	}
	return "number " + l.number.String()
}
