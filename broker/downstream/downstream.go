// Package downstream turns an accepted socket into a Client: PROXY header, TLS, start-up packet.
// It also holds the two things said to a client outside a session: Welcome and Refuse.
//
// It does not accept, verify certificates, decide who may log in, or log; every way in which an
// admission ends is in the value or the error that Admit returns.
package downstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Config is what Admit needs to know of a listener. It is read only and may be shared.
type Config struct {
	Listener string // its name

	// TLS returns the configuration for the next handshake. It requests a client certificate and
	// does not verify it (T31); it offers ALPN "postgresql" (T83).
	TLS func() *tls.Config

	// HandshakeTimeout spans accept to start-up packet, PROXY header and the wait for Handshakes
	// included (T86). WriteTimeout is how long one write may wait for a client that does not read;
	// see Conn. Zero means none.
	HandshakeTimeout, WriteTimeout time.Duration

	// PlaintextCancel accepts cancel requests before TLS, as libpq < 17 sends them (W72).
	PlaintextCancel bool

	// ProxyProtocol lists the peers that must begin with a PROXY header. From all others such a
	// header is refused (A25).
	ProxyProtocol []netip.Prefix

	// Handshakes caps the TLS handshakes computed at once, over all listeners; nil does not. A slot
	// is not held while a handshake waits for its client, so silent clients cannot use them up.
	Handshakes Slots
}

// Slots shares out the processor among handshakes.
type Slots interface {
	// Acquire waits for a slot, or for ctx's end and returns its error. first says that the client, who
	// comes from that address, has not been answered yet. waited says that there was none free.
	Acquire(ctx context.Context, from netip.Addr, first bool) (waited bool, err error)
	// Release gives a slot back, which has been used for that, for so long.
	Release(use Use, computed time.Duration)
	// Proven says that a client from that address has come to something: it has logged in, or cancelled
	// a statement of its own.
	Proven(from netip.Addr)
}

// Use is what a slot was used for.
type Use int

// The uses of a slot.
const (
	Nothing Use = iota // the client had left, or has sent a part of a message
	Began              // it was answered for the first time
	WentOn             // what it sent then was read
)

// Client is an admitted connection: TLS is up, the start-up packet is read, nobody is
// authenticated. The caller owns Conn and closes it.
type Client struct {
	Conn      *Conn
	Startup   *pgwire.Startup
	TLS       tls.ConnectionState // zero for a local client
	Addr      netip.AddrPort      // unmapped; as a PROXY header gives it
	Proxy     netip.AddrPort      // who sent the PROXY header, unmapped; zero without one
	DirectTLS bool                // TLS without SSLRequest
	TLSTime   time.Duration       // of the handshake, waiting included
	Listener  string
}

// Network is what counts of a client's address: of IPv6 the first 64 bits, since a machine often has many of the
// rest, and may choose.
func Network(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// Cancel is a connection that carried a cancel request. The caller closes Conn once the request
// has had its effect, without writing: clients take the end of the connection as the answer.
type Cancel struct {
	Key  pgwire.CancelKey
	Addr netip.AddrPort
	TLS  *tls.ConnectionState // nil when it came in plaintext
	Conn *Conn
}

// Where an admission ended.
const (
	StageTLS     = "tls"
	StageStartup = "startup"
)

// Why an admission ended (T89). Errors of the start-up packet itself bring their own reason.
const (
	ReasonNoTLS              = "no_tls"
	ReasonPlaintextInjection = "plaintext_injection"
	ReasonStartupTimeout     = "startup_timeout"
	ReasonTLS                = "tls"
	ReasonProtocol           = "protocol"
	ReasonShutdown           = "shutdown" // ctx ended
)

// AdmitError is a connection that was not admitted. Its text is for log and audit; a client sees
// Answer and nothing else.
type AdmitError struct {
	Reason string
	Stage  string
	Addr   netip.AddrPort
	Proxy  netip.AddrPort
	TLS    *tls.ConnectionState // nil when no handshake was completed
	Answer *pgwire.Error        // to be sent by Refuse; nil: only close Conn
	Probe  bool                 // the peer closed without a word: nothing to report (W5)
	Err    error
	Conn   net.Conn // the caller closes it, or has Refuse do it
}

func (e *AdmitError) Error() string {
	return fmt.Sprintf("admit %s: %s: %s: %v", e.Addr, e.Stage, e.Reason, e.Err)
}

func (e *AdmitError) Unwrap() error { return e.Err }
