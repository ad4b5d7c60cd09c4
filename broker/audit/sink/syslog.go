package sink

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// SyslogSettle is the Settle of a syslog sink: the protocol has no acknowledgements, so what was written
// within this time of a broken connection is written again.
const SyslogSettle = 5 * time.Second

// Syslog sends lines as RFC 5424 messages: over TLS (RFC 5425) or TCP with octet counting, over UDP or a
// unix socket one message each.
type Syslog struct {
	network, address string
	tls              *tls.Config // nil: none
	conn             net.Conn
	packets          bool          // a message is a packet of its own
	closed           chan struct{} // the peer ended the connection
	buf              []byte
}

// NewSyslog takes tls://HOST:PORT, tcp://HOST:PORT, udp://HOST:PORT or unix:///PATH, and for TLS a file
// of CA certificates; "" is the system's.
func NewSyslog(address, caFile string) (*Syslog, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("syslog address: %w", err)
	}
	s := &Syslog{network: u.Scheme, address: u.Host}
	switch u.Scheme {
	case "tls":
		s.network = "tcp"
		s.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
		if s.tls.RootCAs, err = roots(caFile); err != nil {
			return nil, err
		}
	case "unix":
		s.address = u.Path
	case "tcp", "udp":
	default:
		return nil, fmt.Errorf("syslog address %q: tls, tcp, udp or unix", address)
	}
	return s, nil
}

// roots reads CA certificates; nil is the system's pool.
func roots(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", caFile)
	}
	return pool, nil
}

// errHungUp is returned when the server ended the connection while nothing was written.
var errHungUp = errors.New("the syslog server closed the connection")

// Deliver is Destination's.
func (s *Syslog) Deliver(ctx context.Context, lines []Line) error {
	if s.conn == nil {
		if err := s.connect(ctx); err != nil {
			return err
		}
	}
	if err := s.Check(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := s.conn.SetWriteDeadline(deadline); err != nil {
			return err
		}
	}
	if s.packets {
		return s.each(lines)
	}
	s.buf = s.buf[:0]
	for i := range lines {
		s.buf = appendCounted(s.buf, &lines[i])
	}
	_, err := s.conn.Write(s.buf)
	return err
}

// Check is Destination's.
func (s *Syslog) Check() error {
	select {
	case <-s.closed:
		return errHungUp
	default:
		return nil
	}
}

// each sends a packet for each line; one that is too large goes without what made it so.
func (s *Syslog) each(lines []Line) error {
	for i := range lines {
		s.buf = appendMessage(s.buf[:0], &lines[i], lines[i].Text)
		_, err := s.conn.Write(s.buf)
		if errors.Is(err, syscall.EMSGSIZE) {
			s.buf = appendMessage(s.buf[:0], &lines[i], oversize(lines[i].Text))
			_, err = s.conn.Write(s.buf)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// oversize is what is sent of a line that no packet can hold: its fixed beginning and its length.
func oversize(text []byte) []byte {
	cut := bytes.Index(text, []byte(`,"event":"`))
	end := -1
	if cut >= 0 {
		end = bytes.IndexByte(text[cut+len(`,"event":"`):], '"')
	}
	if end < 0 {
		return []byte(fmt.Sprintf(`{"oversize":%d}`, len(text)))
	}
	head := text[:cut+len(`,"event":"`)+end+1]
	return fmt.Appendf(bytes.Clone(head), `,"oversize":%d}`, len(text))
}

// connect dials, and watches for the peer to hang up.
func (s *Syslog) connect(ctx context.Context) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	s.conn, s.closed = conn, make(chan struct{})
	if s.packets {
		return nil
	}
	go watch(conn, s.closed) // ends with the connection, which Close waits for
	return nil
}

func (s *Syslog) dial(ctx context.Context) (net.Conn, error) {
	if s.tls != nil {
		return (&tls.Dialer{Config: s.tls}).DialContext(ctx, s.network, s.address)
	}
	var d net.Dialer
	s.packets = s.network == "udp"
	if s.network == "unix" { // /dev/log takes packets as a rule
		if conn, err := d.DialContext(ctx, "unixgram", s.address); err == nil {
			s.packets = true
			return conn, nil
		}
	}
	return d.DialContext(ctx, s.network, s.address)
}

// watch reads until the connection ends: a syslog server sends nothing, so whatever ends the read ends
// the connection.
func watch(conn net.Conn, closed chan<- struct{}) {
	io.Copy(io.Discard, conn)
	close(closed)
}

// Close is Destination's.
func (s *Syslog) Close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	if !s.packets {
		<-s.closed
	}
	s.conn = nil
	return err
}

// appendCounted appends a line's message in the framing of RFC 5425: its length, a space, itself.
func appendCounted(dst []byte, l *Line) []byte {
	message := appendMessage(nil, l, l.Text)
	dst = strconv.AppendInt(dst, int64(len(message)), 10)
	dst = append(dst, ' ')
	return append(dst, message...)
}

// Priorities: facility 13, log audit; a refusal is a warning, the rest informational.
const (
	priorityInfo    = 13*8 + 6
	priorityWarning = 13*8 + 4
)

// appendMessage appends the RFC 5424 message of l with text in it. HOSTNAME is the node, MSGID the
// event; stream and seq are structured data, by which a receiver drops what it has.
func appendMessage(dst []byte, l *Line, text []byte) []byte {
	priority := priorityInfo
	if l.Event == "session.denied" {
		priority = priorityWarning
	}
	dst = fmt.Appendf(dst, "<%d>1 %s %s pgsignet - %s [pgsignet@32473 stream=\"%s\" seq=\"%d\"] ", priority,
		l.Time.Format("2006-01-02T15:04:05.000000Z07:00"), token(l.Node, 255), token(l.Event, 32), sdValue(l.Stream), l.Seq)
	return append(dst, text...)
}

// token is s as a header field takes it: printable ASCII without spaces, at most n bytes.
func token(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), n)]
}

// sdValue escapes a value of structured data.
func sdValue(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(strings.ToValidUTF8(s, "?"))
}
