package broker

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// SessionID is a UUID of version 7 (RFC 9562): the reference by which a client, the log and the
// audit speak of one connection. IDs sort by time of creation.
type SessionID [16]byte

// NewSessionID returns an id that holds now in milliseconds and 74 random bits.
func NewSessionID(now time.Time) SessionID {
	var id SessionID
	rand.Read(id[6:])
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(id[:6], ms[2:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// String is the usual form, 8-4-4-4-12 lower-case hex digits.
func (id SessionID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}
