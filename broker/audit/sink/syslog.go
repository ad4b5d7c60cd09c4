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
	socket           os.FileInfo   // of packets over a unix socket: the path, as it was when conn was made
	broken           bool          // a write failed
	closed           chan struct{} // the peer ended the connection
	ended            error         // how; read when closed is
	buf              []byte
}

// SyslogConfig is what NewSyslog needs.
type SyslogConfig struct {
	Address string // tls://HOST:PORT, tcp://HOST:PORT, udp://HOST:PORT or unix:///PATH
	CAFile  string // of TLS: who may have signed the server's certificate; "" is the system's pool
	// CertFile and KeyFile are shown to a server that asks for a certificate; "" is none. They are read for
	// each connection, so that they can be renewed.
	CertFile, KeyFile string
}

// NewSyslog checks the configuration. It connects to nothing.
func NewSyslog(cfg SyslogConfig) (*Syslog, error) {
	u, err := url.Parse(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("syslog address: %w", err)
	}
	s := &Syslog{network: u.Scheme, address: u.Host}
	switch u.Scheme {
	case "tls":
		s.network = "tcp"
		if s.tls, err = clientTLS(cfg, u.Hostname()); err != nil {
			return nil, err
		}
	case "unix":
		s.address = u.Path
	case "tcp", "udp":
	default:
		return nil, fmt.Errorf("syslog address %q: tls, tcp, udp or unix", cfg.Address)
	}
	return s, nil
}

// clientTLS is how to speak TLS with the server of that name.
func clientTLS(cfg SyslogConfig, name string) (*tls.Config, error) {
	pool, err := roots(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12, RootCAs: pool}
	if cfg.CertFile == "" {
		return c, nil
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		return &pair, err
	}
	_, err = c.GetClientCertificate(nil)
	return c, err
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
	if err := s.conn.SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { s.conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	err := s.write(lines)
	s.broken = err != nil
	return err
}

func (s *Syslog) write(lines []Line) error {
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
	if s.socket != nil {
		return s.stillThere()
	}
	select {
	case <-s.closed:
		return errHungUp
	default:
		return nil
	}
}

// stillThere returns nil while the server that took packets over a unix socket is the one that has the path
// now, and lives. Nothing tells a sender that it has gone, with what it had not read, until the next packet.
func (s *Syslog) stillThere() error {
	probe, err := net.Dial("unixgram", s.address) // refused when nobody has the socket open any more
	if err != nil {
		return errHungUp
	}
	probe.Close()
	if now, err := os.Stat(s.address); err != nil || !sameSocket(s.socket, now) {
		return errHungUp
	}
	return nil
}

// sameSocket says whether a and b are one socket: an inode's number may be given again, but not with its age.
func sameSocket(a, b os.FileInfo) bool { return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) }

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
	s.conn, s.broken, s.closed = conn, false, make(chan struct{})
	if s.packets {
		return nil
	}
	go s.watch(conn, s.closed) // ends with the connection, which Close waits for
	return nil
}

func (s *Syslog) dial(ctx context.Context) (net.Conn, error) {
	if s.tls != nil {
		return (&tls.Dialer{Config: s.tls}).DialContext(ctx, s.network, s.address)
	}
	var d net.Dialer
	s.packets, s.socket = s.network == "udp", nil
	if s.network == "unix" { // /dev/log takes packets as a rule
		there, err := os.Stat(s.address) // before it is opened: a server that comes meanwhile is another one
		if err != nil {
			return nil, err
		}
		if conn, err := d.DialContext(ctx, "unixgram", s.address); err == nil {
			s.packets, s.socket = true, there
			return conn, nil
		}
	}
	return d.DialContext(ctx, s.network, s.address)
}

// watch reads until the connection ends: a syslog server sends nothing, so whatever ends the read ends
// the connection.
func (s *Syslog) watch(conn net.Conn, closed chan<- struct{}) {
	_, s.ended = io.Copy(io.Discard, conn)
	close(closed)
}

// Close is Destination's. A server that has read everything up to the end that we send ends its side, too; one
// that dies, or refuses our certificate after all, which in TLS 1.3 it says behind the handshake, resets.
func (s *Syslog) Close() error {
	if s.conn == nil {
		return nil
	}
	conn := s.conn
	s.conn, s.socket = nil, nil
	if s.packets {
		return conn.Close()
	}
	err := s.farewell(conn)
	conn.Close()
	<-s.closed
	return err
}

// patience is how long a server may take to read what is on its way when the connection is closed.
const patience = 2 * time.Second

// farewell ends our side of conn and waits for the server to end its own.
func (s *Syslog) farewell(conn net.Conn) error {
	if s.broken || s.Check() != nil {
		return errHungUp
	}
	if err := closeWrite(conn); err != nil {
		return err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-timer.C:
		return errors.New("the syslog server has not read the last lines")
	case <-s.closed:
	}
	if errors.Is(s.ended, io.ErrUnexpectedEOF) { // some end TLS with TCP's end alone
		return nil
	}
	return s.ended
}

func closeWrite(conn net.Conn) error {
	if c, ok := conn.(*tls.Conn); ok {
		if err := c.CloseWrite(); err != nil {
			return err
		}
		conn = c.NetConn()
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok { // TCP and unix
		return c.CloseWrite()
	}
	return nil
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
