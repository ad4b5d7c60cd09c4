package pgwire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgproto3/v2"
)

// PacketKind says which of the four packets may open a connection.
type PacketKind int

// The packets without a type byte.
const (
	StartupPacket PacketKind = iota + 1
	SSLRequest
	GSSENCRequest
	CancelRequest
)

// Request codes: a version with the impossible major 1234 (libpq/pqcomm.h).
const (
	cancelCode = 1234<<16 | 5678
	sslCode    = 1234<<16 | 5679
	gssencCode = 1234<<16 | 5680
)

// extensionPrefix begins the names of protocol extensions among the start-up parameters.
const extensionPrefix = "_pq_."

// Packet is a decoded opening packet. Startup is set for StartupPacket, Cancel for CancelRequest.
type Packet struct {
	Kind    PacketKind
	Startup *Startup
	Cancel  CancelKey
}

// Startup is a start-up packet that PostgreSQL would accept as far as its form goes.
type Startup struct {
	Requested Version  // as the client sent it
	Version   Version  // what the broker speaks with it: V30 or V32 (W6)
	Params    []Param  // in order, duplicates kept, without _pq_.*
	Unknown   []string // _pq_.* names, none of which the broker implements
}

// Get returns the value of a parameter; of duplicates the last, as in PostgreSQL (W7).
func (s *Startup) Get(name string) (value string, ok bool) {
	for i := len(s.Params) - 1; i >= 0; i-- {
		if s.Params[i].Name == name {
			return s.Params[i].Value, true
		}
	}
	return "", false
}

// User returns the requested user, 1 to MaxName bytes.
func (s *Startup) User() string {
	user, _ := s.Get("user")
	return user
}

// Database returns the requested database, by default the user's name (W10).
func (s *Startup) Database() string {
	if db, _ := s.Get("database"); db != "" {
		return db
	}
	return s.User()
}

// Replication returns "" for an ordinary session, "true" for physical and "database" for logical
// replication. It reads the parameter as PostgreSQL does: any spelling of a boolean (A109).
func (s *Startup) Replication() string {
	value, _ := s.Get("replication")
	if value == "database" {
		return value
	}
	if on, ok := ParseBool(value); ok && on {
		return "true"
	}
	return ""
}

// NeedsNegotiation reports whether NegotiateProtocolVersion must precede AuthenticationOk.
func (s *Startup) NeedsNegotiation() bool {
	return s.Requested != s.Version || len(s.Unknown) > 0
}

// Frame is an opening packet that was read but not parsed.
type Frame struct {
	Code uint32 // protocol version or request code
	Body []byte // what follows the code
}

// ReadFrame reads one packet with exact-length reads: not one byte beyond it (W1). It allocates
// only after the length was found to be at most MaxStartup (W4).
//
// Errors: io.EOF when the peer sent nothing, io.ErrUnexpectedEOF when it stopped within the
// packet, one that wraps ErrMalformed for a length out of range, else the reader's own.
func ReadFrame(r io.Reader) (Frame, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:4]); err != nil {
		return Frame{}, err
	}
	// The length word counts itself. As PostgreSQL does, compare as signed.
	length := int64(int32(binary.BigEndian.Uint32(head[:4]))) - 4
	if length < 4 || length > MaxStartup {
		return Frame{}, fmt.Errorf("%w: start-up length %d", ErrMalformed, length+4)
	}
	if err := readRest(r, head[4:]); err != nil {
		return Frame{}, err
	}
	f := Frame{Code: binary.BigEndian.Uint32(head[4:]), Body: make([]byte, length-4)}
	return f, readRest(r, f.Body)
}

// readRest fills b; an end before that is never a clean one.
func readRest(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if err == io.EOF && len(b) > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Kind classifies the packet by its code. Whatever is no request is a start-up packet, whose
// version Decode checks.
func (f Frame) Kind() PacketKind {
	switch f.Code {
	case cancelCode:
		return CancelRequest
	case sslCode:
		return SSLRequest
	case gssencCode:
		return GSSENCRequest
	}
	return StartupPacket
}

// ReadPacket is ReadFrame and Decode.
func ReadPacket(r io.Reader) (Packet, error) {
	f, err := ReadFrame(r)
	if err != nil {
		return Packet{}, err
	}
	return f.Decode()
}

// Decode parses the packet. The error is an *Error where PostgreSQL would answer with one, else
// it wraps ErrMalformed: close without a word.
func (f Frame) Decode() (p Packet, err error) {
	defer recoverMalformed(&err)
	p.Kind = f.Kind()
	switch p.Kind {
	case SSLRequest:
		err = f.request(&pgproto3.SSLRequest{})
	case GSSENCRequest:
		err = f.request(&pgproto3.GSSEncRequest{})
	case CancelRequest:
		p.Cancel, err = f.cancelKey()
	default:
		p.Startup, err = f.startup()
	}
	if err != nil {
		return Packet{}, err
	}
	return p, nil
}

// request decodes a packet that is its code alone; v2 lets anything follow it.
func (f Frame) request(m pgproto3.FrontendMessage) error {
	if len(f.Body) > 0 {
		return fmt.Errorf("%w: %d bytes behind request code %d", ErrMalformed, len(f.Body), f.Code)
	}
	return f.decodeV2(m)
}

// decodeV2 has pgproto3/v2 decode the packet into m.
func (f Frame) decodeV2(m pgproto3.FrontendMessage) error {
	body := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(f.Body)), f.Code)
	if err := m.Decode(append(body, f.Body...)); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// CheckMajor refuses every major version but 3 (W6).
func (f Frame) CheckMajor() error {
	if v := Version(f.Code); v.Major() != 3 {
		return protocolError(FeatureNotSupported,
			"unsupported frontend protocol %d.%d: server supports 3.0 to 3.2", v.Major(), v.Minor())
	}
	return nil
}

// startup parses a start-up packet in the order in which PostgreSQL's ProcessStartupPacket does.
func (f Frame) startup() (*Startup, error) {
	if err := f.CheckMajor(); err != nil {
		return nil, err
	}
	s := &Startup{Requested: Version(f.Code), Version: V30}
	if s.Requested >= V32 {
		s.Version = V32
	}
	if err := s.scan(f.Body); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	if s.Requested == V30 {
		if err := f.agree(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// scan splits name and value pairs. The terminator must be the last byte, no sooner and no later.
func (s *Startup) scan(body []byte) error {
	rest := body
	for len(rest) > 0 && rest[0] != 0 {
		name, after, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			return errLayout()
		}
		value, after, ok := bytes.Cut(after, []byte{0})
		if !ok {
			return errLayout()
		}
		s.add(string(name), string(value))
		rest = after
	}
	if len(rest) != 1 {
		return errLayout()
	}
	return nil
}

func errLayout() error {
	return protocolError(ProtocolViolation, "invalid startup packet layout: expected terminator as last byte")
}

func (s *Startup) add(name, value string) {
	if strings.HasPrefix(name, extensionPrefix) {
		s.Unknown = append(s.Unknown, name)
		return
	}
	s.Params = append(s.Params, Param{Name: name, Value: value})
}

// check refuses what PostgreSQL refuses before it authenticates anyone, and names that it would
// cut: after the policy check a cut name could be another role (W10, T12, T94).
func (s *Startup) check() error {
	for _, p := range s.Params {
		if p.Name != "replication" || p.Value == "database" {
			continue
		}
		if _, ok := ParseBool(p.Value); !ok {
			e := protocolError(InvalidParameterValue, "invalid value for parameter \"%s\": \"%s\"", p.Name, p.Value)
			e.HintText = `Valid values are: "false", 0, "true", 1, "database".`
			return e
		}
	}
	for _, name := range []string{"user", "database"} {
		if s.count(name) > 1 {
			return protocolError(ProtocolViolation, "start-up parameter %q occurs more than once", name)
		}
	}
	if s.User() == "" {
		return protocolError(InvalidAuthorizationSpecification, "no PostgreSQL user name specified in startup packet")
	}
	if e := RefusesNames(s.User(), s.Database()); e != nil {
		return e
	}
	return nil
}

// RefusesNames is the error with which a start-up packet is refused because of its names; nil when it is not.
func RefusesNames(user, database string) *Error {
	if len(user) > MaxName {
		e := protocolError(InvalidAuthorizationSpecification, "user name is longer than %d bytes", MaxName)
		e.Slug = "role_name"
		return e
	}
	if len(database) > MaxName {
		return protocolError(InvalidAuthorizationSpecification, "database name is longer than %d bytes", MaxName)
	}
	return nil
}

func (s *Startup) count(name string) (n int) {
	for _, p := range s.Params {
		if p.Name == name {
			n++
		}
	}
	return n
}

// agree decodes a 3.0 packet a second time, with pgproto3/v2, and refuses a packet that two
// parsers read differently. v2 knows no order, keeps the last of duplicates, and does not set
// extensions apart.
func (f Frame) agree(s *Startup) error {
	var m pgproto3.StartupMessage
	if err := f.decodeV2(&m); err != nil {
		return errLayout()
	}
	for name, value := range m.Parameters {
		if strings.HasPrefix(name, extensionPrefix) {
			continue
		}
		if own, ok := s.Get(name); !ok || own != value {
			return errLayout()
		}
	}
	for _, p := range s.Params {
		if _, ok := m.Parameters[p.Name]; !ok {
			return errLayout()
		}
	}
	return nil
}
