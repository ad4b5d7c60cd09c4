package trust

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"sync"
	"time"
)

// ticketRotation is how long one key seals new tickets; it opens old ones as long again.
const ticketRotation = time.Hour

// ticketKeys seal the TLS session tickets of one listener. They live as long as the process, so
// that a reload ends no client's resumption, but every ticket is bound to the anchors it was issued
// under (A21). Safe for concurrent use.
type ticketKeys struct {
	clock func() time.Time

	mu   sync.Mutex
	keys []ticketKey // newest first
}

type ticketKey struct {
	id   byte // first byte of the tickets it seals
	made time.Time
	aead cipher.AEAD
}

// newest returns the key for new tickets, made if the last one is an hour old. mu is held.
func (t *ticketKeys) newest() (ticketKey, error) {
	now := t.clock()
	for len(t.keys) > 0 && !now.Before(t.keys[len(t.keys)-1].made.Add(2*ticketRotation)) {
		t.keys = t.keys[:len(t.keys)-1]
	}
	if len(t.keys) > 0 && now.Before(t.keys[0].made.Add(ticketRotation)) {
		return t.keys[0], nil
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	block, err := aes.NewCipher(secret)
	clear(secret)
	if err != nil {
		return ticketKey{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return ticketKey{}, err
	}
	k := ticketKey{made: now, aead: aead}
	if len(t.keys) > 0 {
		k.id = t.keys[0].id + 1
	}
	t.keys = append([]ticketKey{k}, t.keys...)
	return k, nil
}

func (t *ticketKeys) seal(plain, bound []byte) ([]byte, error) {
	t.mu.Lock()
	k, err := t.newest()
	t.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return k.aead.Seal([]byte{k.id}, nil, plain, bound), nil
}

var errTicket = errors.New("ticket of another key, listener, name or set of CAs")

func (t *ticketKeys) open(ticket, bound []byte) ([]byte, error) {
	if len(ticket) == 0 {
		return nil, errTicket
	}
	now := t.clock()
	t.mu.Lock()
	var k *ticketKey
	for i := range t.keys {
		if t.keys[i].id == ticket[0] && now.Before(t.keys[i].made.Add(2*ticketRotation)) {
			k = &t.keys[i]
			break
		}
	}
	t.mu.Unlock()
	if k == nil {
		return nil, errTicket
	}
	plain, err := k.aead.Open(nil, nil, ticket[1:], bound)
	if err != nil {
		return nil, errTicket
	}
	return plain, nil
}

// binding is what a ticket must not be moved away from: listener, anchors and, added by bind,
// server name.
func (s *Snapshot) binding() []byte {
	h := sha256.New()
	h.Write([]byte(s.cfg.Listener))
	h.Write([]byte{0})
	for _, ca := range s.Anchors() {
		id := fingerprintOf(ca)
		h.Write(id[:])
	}
	return h.Sum(nil)
}

// useTickets turns resumption on. A resumed session presents the certificates of its first
// handshake; the caller verifies them again as after any handshake (T33).
func (s *Snapshot) useTickets(cfg *tls.Config) {
	binding := s.binding()
	bind := func(cs tls.ConnectionState) []byte {
		return append(binding[:len(binding):len(binding)], cs.ServerName...)
	}
	cfg.SessionTicketsDisabled = false
	cfg.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		plain, err := ss.Bytes()
		if err != nil {
			return nil, err
		}
		return s.tickets.seal(plain, bind(cs))
	}
	cfg.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		plain, err := s.tickets.open(ticket, bind(cs))
		if err != nil {
			return nil, nil // a full handshake, no alert
		}
		ss, err := tls.ParseSessionState(plain)
		if err != nil {
			return nil, nil // sealed by an older program
		}
		return ss, nil
	}
}
