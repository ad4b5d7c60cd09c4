// Package pgwire reads and writes the PostgreSQL protocol messages the broker handles itself:
// the start-up packets of a client, cancel requests, message headers, and the broker's own replies.
//
// It opens no sockets, knows nothing of TLS, and does not relay: an established session is
// forwarded by header, and only the messages named here are ever decoded.
package pgwire

// Version is a protocol version: the major number in the upper, the minor in the lower 16 bits.
type Version uint32

// The versions the broker speaks (W6).
const (
	V30 Version = 3 << 16
	V32 Version = 3<<16 | 2
)

// Major returns the upper half of the version.
func (v Version) Major() int { return int(v >> 16) }

// Minor returns the lower half of the version.
func (v Version) Minor() int { return int(v & 0xffff) }

// MaxStartup is the largest start-up packet read, in bytes, without its length word: the same as
// MAX_STARTUP_PACKET_LENGTH in PostgreSQL's libpq/pqcomm.h.
const MaxStartup = 10_000

// MaxName is the longest user or database name, in bytes: PostgreSQL's NAMEDATALEN - 1.
const MaxName = 63

// Param is one named value: of a start-up packet, an `options` string or a ParameterStatus.
type Param struct{ Name, Value string }
