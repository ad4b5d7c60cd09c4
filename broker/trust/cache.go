package trust

import (
	"container/list"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the chains remembered per listener. A live session keeps its own entry besides.
const (
	maxEntries    = 8192
	maxEntryBytes = 32 << 20 // of DER; parsed certificates hold about four times as much
)

// entry remembers what cannot change about one set of presented certificates under one set of
// anchors: the chains, that their signatures verify, and that the time-independent checks passed.
// It is immutable but for owner.
type entry struct {
	key      fingerprint // of all presented certificates
	peer     []*x509.Certificate
	set      *anchorSet
	chains   []*chain
	critical []string // unknown critical extensions of the leaf that a rule read, dotted
	bytes    int

	owner atomic.Pointer[owner] // the identity that was last extracted
}

// chain is a path that passed every time-independent check.
type chain struct {
	*path
	anchor              string // SHA-256, lower hex
	notBefore, notAfter time.Time
	subjects            []subject // what revocation asks about, below the anchor
}

// peerKey is the SHA-256 of all presented certificates with their lengths.
func peerKey(peer []*x509.Certificate) fingerprint {
	h := sha256.New()
	var length [4]byte
	for _, c := range peer {
		binary.BigEndian.PutUint32(length[:], uint32(len(c.Raw)))
		h.Write(length[:])
		h.Write(c.Raw)
	}
	var key fingerprint
	h.Sum(key[:0])
	return key
}

// under returns the entry's chains as far as they hold with other anchors and mapped extensions:
// those whose anchor is still one. ok is false when the chains have to be built again: an anchor
// was added that could extend one, or no chain is left (T48).
func (e *entry) under(set *anchorSet, mapped map[string]bool) (chains []*chain, ok bool) {
	for _, id := range e.critical {
		if !mapped[id] {
			return nil, false
		}
	}
	if e.set == set {
		return e.chains, true
	}
	for _, c := range e.peer {
		for _, anchor := range set.bySubject[string(c.RawIssuer)] {
			if _, known := e.set.ids[fingerprintOf(anchor)]; !known {
				return nil, false
			}
		}
	}
	for _, c := range e.chains {
		if _, still := set.ids[fingerprintOf(c.certs[len(c.certs)-1])]; still {
			chains = append(chains, c)
		}
	}
	return chains, len(chains) > 0
}

// chainCache is a bounded LRU of entries. It outlives snapshots: each entry knows its anchors.
type chainCache struct {
	mu    sync.Mutex
	byKey map[fingerprint]*list.Element // values are *entry
	order *list.List                    // most recent first
	bytes int
}

func newChainCache() *chainCache {
	return &chainCache{byKey: map[fingerprint]*list.Element{}, order: list.New()}
}

func (c *chainCache) get(key fingerprint) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.byKey[key]
	if el == nil {
		return nil
	}
	c.order.MoveToFront(el)
	return el.Value.(*entry)
}

func (c *chainCache) put(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.byKey[e.key]; old != nil {
		c.remove(old)
	}
	c.byKey[e.key] = c.order.PushFront(e)
	c.bytes += e.bytes
	for c.order.Len() > maxEntries || c.bytes > maxEntryBytes {
		c.remove(c.order.Back())
	}
}

func (c *chainCache) remove(el *list.Element) {
	e := c.order.Remove(el).(*entry)
	delete(c.byKey, e.key)
	c.bytes -= e.bytes
}
