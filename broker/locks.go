package broker

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/durable"
	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// locks are the certificates and identities that may not log in: a first `deny` that needs no
// reload (T92). Safe for concurrent use; a login takes no lock to look.
type locks struct {
	file string // where they outlive the process; "": nowhere

	mu        sync.Mutex // held while the list is replaced; guards elsewhere
	elsewhere bool       // another process keeps the file
	list      atomic.Pointer[[]admin.Lock]
}

// all returns the locks in force at now.
func (l *locks) all(now time.Time) []admin.Lock {
	list := l.list.Load()
	if list == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(*list), func(k admin.Lock) bool { return expired(&k, now) })
}

func expired(k *admin.Lock, now time.Time) bool { return !k.Until.IsZero() && now.After(k.Until) }

// find returns the lock that means this certificate, or nil.
func (l *locks) find(id *identity.Identity, v *trust.Verified, now time.Time) *admin.Lock {
	list := l.list.Load()
	if list == nil {
		return nil
	}
	for i := range *list {
		if k := &(*list)[i]; !expired(k, now) && meant(k.Target, k.IssuerKeys, id, v) {
			return k
		}
	}
	return nil
}

// meant says whether a target is this certificate. keys, when there are any, are those that may have
// issued a serial: another CA of that name is not meant.
func meant(t admin.Target, keys []string, id *identity.Identity, v *trust.Verified) bool {
	switch t.Kind {
	case "sha256":
		return id.SHA256 == t.Value
	case "spki":
		return id.SPKISHA256 == t.Value
	case "dn":
		return id.DN == t.Value
	case "spiffe":
		return id.SPIFFE == t.Value || slices.Contains(id.URI, t.Value)
	case "serial":
		return id.Serial == t.Value && id.Issuer == t.Issuer && issuedBy(keys, v)
	}
	return false
}

func issuedBy(keys []string, v *trust.Verified) bool {
	if len(keys) == 0 {
		return true
	}
	for _, chain := range v.Chains {
		if len(chain) > 1 && slices.Contains(keys, keyHash(chain[1])) {
			return true
		}
	}
	return false
}

func keyHash(c *x509.Certificate) string { return hexSHA256(c.RawSubjectPublicKeyInfo) }

// add puts a lock in force, in place of one of the same target.
func (l *locks) add(k admin.Lock, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.DeleteFunc(l.all(now), func(o admin.Lock) bool { return o.Target == k.Target })
	return l.replace(append(list, k))
}

// remove ends the locks of a target and says how many there were.
func (l *locks) remove(t admin.Target, now time.Time) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.all(now)
	list := slices.DeleteFunc(slices.Clone(before), func(o admin.Lock) bool { return o.Target == t })
	if len(list) == len(before) {
		return 0, nil
	}
	return len(before) - len(list), l.replace(list)
}

// replace stores the list, on disk first. Called with mu.
func (l *locks) replace(list []admin.Lock) error {
	if l.file != "" && !l.elsewhere {
		if err := writeLocks(l.file, list); err != nil {
			return fmt.Errorf("locks file: %w", err)
		}
	}
	l.list.Store(&list)
	return nil
}

// keepNoFile leaves the file to another process.
func (l *locks) keepNoFile() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.elsewhere = true
}

// load reads the file; one that does not exist holds no locks.
func (l *locks) load() error {
	if l.file == "" {
		return nil
	}
	data, err := os.ReadFile(l.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var list []admin.Lock
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err != nil {
		return fmt.Errorf("locks file %s: %w", l.file, err)
	}
	l.list.Store(&list)
	return nil
}

// writeLocks replaces the file in one step, durably.
func writeLocks(path string, list []admin.Lock) error {
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(path, append(data, '\n'), 0o600)
}

// checkLocks refuses a login whose certificate or identity is locked.
func (s *Server) checkLocks(d *decision) error {
	k := s.locks.find(d.identity, d.verified, time.Now())
	if k == nil {
		return nil
	}
	denied := *policy.ErrLocked
	denied.Cause = "locked by " + k.By
	if k.Reason != "" {
		denied.Cause += ": " + k.Reason
	}
	return &denied
}

// issuerKeys finds the public keys that a serial's issuer may have: that of a certificate which was
// seen, else those of the trust anchors of that name.
func (s *Server) issuerKeys(t admin.Target) (keys []string) {
	for _, c := range s.live.all() {
		d, v := c.decided.Load(), c.verified.Load()
		if d != nil && v != nil && d.identity != nil && meant(t, nil, d.identity, v) {
			for _, chain := range v.Chains {
				if len(chain) > 1 {
					keys = append(keys, keyHash(chain[1]))
				}
			}
		}
	}
	if len(keys) == 0 {
		for _, snap := range s.snapshot.Load().Trust {
			for _, ca := range snap.Anchors() {
				if name, err := identity.FormatDN(ca.RawSubject); err == nil && name == t.Issuer {
					keys = append(keys, keyHash(ca))
				}
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
