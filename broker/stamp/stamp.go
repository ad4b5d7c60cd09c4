// Package stamp makes the proof of identity that a session carries inside PostgreSQL, and the SQL that
// checks it there.
//
// It does not decide who a client is, and it sends nothing to a server.
package stamp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MinKey is the shortest key, in bytes: the length of HMAC-SHA256's output (RFC 2104, section 3).
const MinKey = 32

// Key signs tokens. PostgreSQL checks them with the same secret. It never changes and is safe for
// concurrent use.
type Key struct {
	id           string
	inner, outer [sha256.BlockSize]byte // the key with HMAC's two pads: all that PostgreSQL needs
}

// NewKey makes a key of a secret of at least MinKey bytes.
func NewKey(secret []byte) (*Key, error) {
	if len(secret) < MinKey {
		return nil, fmt.Errorf("identity key holds %d bytes, at least %d are needed", len(secret), MinKey)
	}
	block := make([]byte, sha256.BlockSize)
	if len(secret) > len(block) {
		sum := sha256.Sum256(secret)
		secret = sum[:]
	}
	copy(block, secret)
	k := &Key{}
	for i, b := range block {
		k.inner[i], k.outer[i] = b^0x36, b^0x5c
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("pgsignet identity key id"))
	k.id = hex.EncodeToString(mac.Sum(nil)[:4])
	return k, nil
}

// ID tells keys apart in tokens and in the key table; it says nothing of the secret.
func (k *Key) ID() string { return k.id }

// String keeps the secret out of logs.
func (k *Key) String() string { return "identity key " + k.id }

// Claim is what a token says: whoever holds this backend, as this role, until then, is this identity.
type Claim struct {
	PID      uint32 // of the PostgreSQL backend
	Expires  time.Time
	Role     string // that the backend logged in as
	Identity string // policy.Grant.IdentityKey: the SPIFFE ID, else the DN
}

// Token signs a claim: v1.kid.backend_pid.exp.hex(role).hex(identity).hex(HMAC-SHA256), where the MAC
// is of all before its dot and exp is in Unix seconds. It is a secret of the session: never log it.
func (k *Key) Token(c Claim) string {
	claim := strings.Join([]string{
		"v1", k.id, strconv.FormatUint(uint64(c.PID), 10), strconv.FormatInt(c.Expires.Unix(), 10),
		hex.EncodeToString([]byte(c.Role)), hex.EncodeToString([]byte(c.Identity)),
	}, ".")
	return claim + "." + hex.EncodeToString(k.mac(claim))
}

// mac is HMAC-SHA256 in the two steps that PostgreSQL's sha256() can take.
func (k *Key) mac(text string) []byte {
	inner := sha256.Sum256(append(k.inner[:], text...))
	outer := sha256.Sum256(append(k.outer[:], inner[:]...))
	return outer[:]
}
