package broker

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"sync"

	"github.com/pgsignet/pgsignet/pgwire"
)

// secretSize is the length of a cancel secret in bytes, by protocol version: 3.0 has no room for
// more than four (W8).
func secretSize(v pgwire.Version) int {
	if v >= pgwire.V32 {
		return 32
	}
	return 4
}

// cancelKeys finds the session that a cancel request is meant for. The secrets are the broker's own:
// a client never sees the key of a server connection (W71). Safe for concurrent use.
type cancelKeys struct {
	mu   sync.RWMutex
	keys map[uint32][]cancelKey // by process id, which several servers may give out at once
}

type cancelKey struct {
	secret  []byte
	session *session
}

func newCancelKeys() *cancelKeys { return &cancelKeys{keys: make(map[uint32][]cancelKey)} }

// add makes a key for the session. pid is the one that the client shall see; 0 asks for one of our
// own, a positive number of 31 bits.
func (k *cancelKeys) add(s *session, pid uint32, v pgwire.Version) pgwire.CancelKey {
	secret := make([]byte, secretSize(v))
	rand.Read(secret)
	k.mu.Lock()
	defer k.mu.Unlock()
	for pid == 0 {
		pid = k.freePID()
	}
	k.keys[pid] = append(k.keys[pid], cancelKey{secret: secret, session: s})
	return pgwire.CancelKey{PID: pid, Secret: secret}
}

// freePID returns a random process id that no session has, or 0 when the draw was taken.
func (k *cancelKeys) freePID() uint32 {
	var b [4]byte
	rand.Read(b[:])
	pid := binary.BigEndian.Uint32(b[:]) >> 1
	if len(k.keys[pid]) > 0 {
		return 0
	}
	return pid
}

// find returns the session whose key this is, or nil. The comparison of a secret takes the same
// time wherever it differs.
func (k *cancelKeys) find(key pgwire.CancelKey) *session {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, c := range k.keys[key.PID] {
		if subtle.ConstantTimeCompare(c.secret, key.Secret) == 1 {
			return c.session
		}
	}
	return nil
}

// remove forgets the session's key.
func (k *cancelKeys) remove(s *session, pid uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	kept := k.keys[pid][:0]
	for _, c := range k.keys[pid] {
		if c.session != s {
			kept = append(kept, c)
		}
	}
	if len(kept) == 0 {
		delete(k.keys, pid)
		return
	}
	clear(k.keys[pid][len(kept):])
	k.keys[pid] = kept
}
