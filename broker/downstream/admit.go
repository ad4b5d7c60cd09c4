package downstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/pgsignet/pgsignet/broker/sock"
	"github.com/pgsignet/pgsignet/pgwire"
)

// tlsRecord is the first byte of a TLS handshake record. A start-up packet cannot begin with it:
// its length would be above 300 MB.
const tlsRecord = 0x16

// alpn is the application protocol of PostgreSQL (T83).
const alpn = "postgresql"

// admission is one run of Admit.
type admission struct {
	// Fixed at creation.
	ctx   context.Context // of Admit's duration, with its deadline
	cause context.Context // the caller's
	cfg   *Config
	conn  *Conn

	// Filled in on the way.
	addr, proxy netip.AddrPort
	stage       string
	spoke       bool // the peer has sent a byte
	direct      bool
	state       *tls.ConnectionState
	tlsTime     time.Duration

	// Negotiation requests answered once are not answered again (W3).
	sslDone, gssDone bool
}

// Admit takes a connection from accept to its start-up packet. Exactly one result is not nil; the
// error is an *AdmitError. It blocks at most cfg.HandshakeTimeout and ends when ctx does; it starts
// no goroutine that outlives it. raw belongs to the result from then on.
func Admit(ctx context.Context, raw net.Conn, cfg *Config) (*Client, *Cancel, error) {
	conn := raw
	if tcp, ok := raw.(*net.TCPConn); ok {
		conn = sock.New(tcp)
	}
	a := &admission{cause: ctx, cfg: cfg, conn: newConn(conn, cfg.WriteTimeout), addr: peerAddr(raw)}
	client, cancel, err := a.run(a.admit)
	if err == nil { // until then there is the deadline
		setOptions(raw, cfg.WriteTimeout)
	}
	return client, cancel, err
}

// AdmitLocal is Admit for a connection that needs no TLS because only trusted users reach it: a
// unix socket whose peer the caller has checked. timeout bounds the admission and each later write.
func AdmitLocal(ctx context.Context, raw net.Conn, timeout time.Duration) (*Client, *Cancel, error) {
	cfg := &Config{HandshakeTimeout: timeout, WriteTimeout: timeout}
	a := &admission{cause: ctx, cfg: cfg, conn: newConn(raw, timeout), addr: peerAddr(raw)}
	return a.run(a.startup)
}

// run gives step its deadline and turns its error into an AdmitError.
func (a *admission) run(step func() (*Client, *Cancel, error)) (*Client, *Cancel, error) {
	a.stage = StageStartup
	ctx, cancel := a.cause, context.CancelFunc(func() {})
	if t := a.cfg.HandshakeTimeout; t > 0 {
		deadline := time.Now().Add(t)
		ctx, cancel = context.WithDeadline(ctx, deadline)
		_ = a.conn.wire.SetDeadline(deadline) // fails on a closed socket, as the next read will
	}
	defer cancel()
	a.ctx = ctx
	a.conn.wire.opening = &opening{ctx: ctx}
	stop := context.AfterFunc(a.cause, func() { _ = a.conn.wire.SetDeadline(time.Unix(1, 0)) })
	client, request, err := step()
	if !stop() {
		err = context.Cause(a.cause)
	}
	a.conn.wire.opening = nil
	if err != nil {
		return nil, nil, a.fail(err)
	}
	_ = a.conn.wire.SetDeadline(time.Time{})
	return client, request, nil
}

// admit is a connection's way through PROXY header, TLS and start-up packet.
func (a *admission) admit() (*Client, *Cancel, error) {
	if listed(a.cfg.ProxyProtocol, a.addr.Addr()) {
		if err := a.readProxy(); err != nil {
			return nil, nil, err
		}
	}
	first, err := a.readFirst()
	if err != nil {
		return nil, nil, err
	}
	if first == tlsRecord {
		a.direct = true
	} else if cancel, err := a.negotiate(); cancel != nil || err != nil {
		return nil, cancel, err
	}
	if err := a.handshake(); err != nil {
		return nil, nil, err
	}
	return a.startup()
}

func (a *admission) readProxy() error {
	client, ok, err := readProxy(readerFunc(func(p []byte) (int, error) {
		n, err := a.conn.wire.Read(p)
		a.spoke = a.spoke || n > 0
		return n, err
	}))
	if err != nil {
		return err
	}
	if ok {
		a.proxy, a.addr = a.addr, client
	}
	a.spoke = false // a balancer that closes behind its header is a probe too
	return nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// readFirst reads one byte, which the next reader will see again.
func (a *admission) readFirst() (byte, error) {
	var b [1]byte
	if _, err := io.ReadFull(a.conn.wire, b[:]); err != nil {
		return 0, err
	}
	a.spoke = true
	o := a.conn.wire.opening
	o.first, o.hasFirst = b[0], true
	return b[0], nil
}

// negotiate answers requests in plaintext up to the S that starts TLS. A start-up packet here is
// refused without a look at its parameters (A1).
func (a *admission) negotiate() (*Cancel, error) {
	for {
		frame, err := pgwire.ReadFrame(a.conn.wire)
		if err != nil {
			return nil, err
		}
		switch frame.Kind() {
		case pgwire.SSLRequest:
			return nil, a.acceptTLS(frame)
		case pgwire.GSSENCRequest:
			if err := a.decline(frame, &a.gssDone); err != nil {
				return nil, err
			}
		case pgwire.CancelRequest:
			return a.plaintextCancel(frame)
		default:
			if err := frame.CheckMajor(); err != nil {
				return nil, err
			}
			return nil, errNoTLS
		}
	}
}

var errNoTLS = &pgwire.Error{
	Severity: pgwire.Fatal, Code: pgwire.InvalidAuthorizationSpecification, Slug: ReasonNoTLS,
	Message:  "this server accepts only TLS connections with a client certificate",
	HintText: "Connect with sslmode=verify-full, sslrootcert, sslcert and sslkey.",
}

var (
	errInjection       = errors.New("bytes behind a request for encryption")
	errNotTLS          = errors.New("plaintext where a TLS handshake was due")
	errPlaintextCancel = errors.New("cancel request without TLS")
)

// acceptTLS answers S and requires that a TLS record follows. Bytes that came before the answer
// were not encrypted and may be someone else's (A2, CVE-2021-23214).
func (a *admission) acceptTLS(frame pgwire.Frame) error {
	if err := a.answer(frame, 'S'); err != nil {
		return err
	}
	a.sslDone, a.gssDone = true, true
	a.stage = StageTLS
	first, err := a.readFirst()
	if err != nil {
		return err
	}
	if first != tlsRecord {
		return errNotTLS
	}
	return nil
}

// decline answers N to the first request of its kind. A second one is a start-up packet of an
// impossible version, as in PostgreSQL (A6, A7).
func (a *admission) decline(frame pgwire.Frame, done *bool) error {
	if *done {
		return frame.CheckMajor()
	}
	*done = true
	return a.answer(frame, 'N')
}

// answer writes the one-byte reply to a request, then fails if more than the request was sent.
func (a *admission) answer(frame pgwire.Frame, reply byte) error {
	if _, err := frame.Decode(); err != nil {
		return err
	}
	stuffed := a.conn.tls == nil && unread(a.conn.wire.raw)
	if _, err := a.conn.Write([]byte{reply}); err != nil {
		return err
	}
	if stuffed {
		return errInjection
	}
	return nil
}

func (a *admission) plaintextCancel(frame pgwire.Frame) (*Cancel, error) {
	if !a.cfg.PlaintextCancel {
		return nil, errPlaintextCancel
	}
	return a.cancel(frame)
}

func (a *admission) cancel(frame pgwire.Frame) (*Cancel, error) {
	p, err := frame.Decode()
	if err != nil {
		return nil, err
	}
	return &Cancel{Key: p.Cancel, Addr: a.addr, TLS: a.state, Conn: a.conn}, nil
}

// handshake runs TLS on the socket, in the cap on handshakes. Nothing is made for it before there is a slot:
// in a flood many wait for theirs, and most of them leave.
func (a *admission) handshake() error {
	a.stage = StageTLS
	began := time.Now()
	o := a.conn.wire.opening
	o.from, o.sent = a.addr.Addr(), false
	if o.slots = a.cfg.Handshakes; o.slots != nil {
		defer o.leave() // also when crypto/tls panics
		if err := o.acquire(a.conn.wire.raw); err != nil {
			return err
		}
	}
	deepen(len(a.cfg.Listener))
	a.conn.wire.records = records{} // what came before was not TLS
	server := tls.Server(a.conn.wire, a.cfg.TLS())
	err := server.Handshake() // ends by the deadline of the socket
	a.tlsTime = time.Since(began)
	if err != nil {
		return err
	}
	state := server.ConnectionState()
	a.state, a.stage = &state, StageStartup
	a.conn.tls, a.conn.Conn = server, server
	return nil
}

// handshakeStack is what a handshake takes of the stack, in bytes: with what is there it makes 16 KiB.
const handshakeStack = 10 << 10

// deepen makes the goroutine's stack large enough for a handshake in one step, with little on it to copy.
// It would grow in three, the last of them deep in the handshake. at is any index of the frame, which the
// compiler must not know.
//
//go:noinline
func deepen(at int) byte {
	var frame [handshakeStack]byte
	return frame[at%handshakeStack]
}

// startup reads the start-up packet, inside TLS or on a trusted socket.
func (a *admission) startup() (*Client, *Cancel, error) {
	for {
		frame, err := pgwire.ReadFrame(a.conn)
		if err != nil {
			return nil, nil, err
		}
		a.spoke = true
		switch frame.Kind() {
		case pgwire.SSLRequest:
			err = a.decline(frame, &a.sslDone)
		case pgwire.GSSENCRequest:
			err = a.decline(frame, &a.gssDone)
		case pgwire.CancelRequest:
			cancel, err := a.cancel(frame)
			return nil, cancel, err
		default:
			client, err := a.client(frame)
			return client, nil, err
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

func (a *admission) client(frame pgwire.Frame) (*Client, error) {
	if a.direct && a.state.NegotiatedProtocol != alpn {
		return nil, &pgwire.Error{
			Severity: pgwire.Fatal, Code: pgwire.ProtocolViolation, Slug: ReasonProtocol,
			Message:  "direct TLS connection without ALPN protocol negotiation",
			HintText: `Offer the ALPN protocol "postgresql", or use sslnegotiation=postgres.`,
		}
	}
	p, err := frame.Decode()
	if err != nil {
		return nil, err
	}
	c := &Client{
		Conn: a.conn, Startup: p.Startup, Addr: a.addr, Proxy: a.proxy,
		DirectTLS: a.direct, TLSTime: a.tlsTime, Listener: a.cfg.Listener,
	}
	if a.state != nil {
		c.TLS = *a.state
	}
	return c, nil
}

// fail describes how the admission ended.
func (a *admission) fail(err error) *AdmitError {
	e := &AdmitError{
		Stage: a.stage, Addr: a.addr, Proxy: a.proxy, TLS: a.state, Err: err, Conn: a.conn,
	}
	answer, spoken := errors.AsType[*pgwire.Error](err)
	switch {
	case a.cause.Err() != nil:
		e.Reason = ReasonShutdown
	case spoken:
		e.Reason, e.Answer = answer.Slug, answer
	case errors.Is(err, errInjection), errors.Is(err, errNotTLS):
		e.Reason = ReasonPlaintextInjection
	case errors.Is(err, errPlaintextCancel):
		e.Reason = ReasonNoTLS
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		e.Reason = ReasonStartupTimeout
	case a.stage == StageTLS, a.state != nil && !isPeer(err):
		e.Reason = ReasonTLS
	default:
		e.Reason = ReasonProtocol
		e.Probe = !a.spoke && isGone(err)
	}
	return e
}

// isPeer reports whether err is about what the peer said or that it left, not one of TLS.
func isPeer(err error) bool {
	return isGone(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pgwire.ErrMalformed)
}

// isGone reports whether the peer closed or reset the connection.
func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}
