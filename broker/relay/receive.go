package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// This file accounts for what a server says: which request a message answers, what it means to the
// state of the connection, and what of it the client reads.

// errClosed is a connection that is being closed.
var errClosed = errors.New("server connection closed")

// scan walks the messages in b and collects in s.spans the bytes that are the client's. It returns
// how many bytes at the end of b are an incomplete message that must be seen whole. Called with mu.
func (s *Server) scan(b []byte) (held int, err error) {
	if s.phase == phaseClosed {
		return 0, errClosed // its session has left: what still comes is nobody's
	}
	for len(b) > 0 {
		if s.remain > 0 {
			n := min(s.remain, len(b))
			if !s.drop {
				s.spans.add(b[:n])
			}
			s.remain -= n
			b = b[n:]
			continue
		}
		if len(b) < headerSize {
			return len(b), nil
		}
		length := int(int32(binary.BigEndian.Uint32(b[1:]))) - 4
		if length < 0 || length > longest && !mayBeLong(b[0]) {
			return 0, fmt.Errorf("%w: message %q of length %d", errUnexpected, b[0], length+4)
		}
		total := headerSize + length
		whole := total <= len(b)
		if len(b) < min(total, s.whole) && s.mustSee(b[0]) {
			return len(b), nil // of a message that is larger than the buffer, as much as fits
		}
		n := min(total, len(b))
		s.size = total
		v, err := s.message(b[0], b[headerSize:n], whole)
		if err != nil {
			return 0, err
		}
		s.drop = !v.forward || v.instead != nil
		switch {
		case v.instead != nil:
			s.spans.add(v.instead)
		case v.forward:
			s.spans.add(b[:n])
		}
		s.remain = total - n
		if b[0] == pgwire.MsgDataRow && whole && !s.drop {
			rows := s.rows(b[n:])
			s.spans.add(b[n : n+rows])
			n += rows
		}
		b = b[n:]
	}
	return 0, nil
}

// rows takes the whole DataRows at the front of b, which follow one that was the client's: what is so of it is
// so of them. It returns how many bytes they are. Called with mu.
func (s *Server) rows(b []byte) (n int) {
	count := int64(0)
	for len(b)-n >= headerSize && b[n] == pgwire.MsgDataRow {
		length := int(int32(binary.BigEndian.Uint32(b[n+1:])))
		if length < 4 || 1+length > len(b)-n {
			break // scan's to deal with
		}
		n += 1 + length
		count++
	}
	if count > 0 {
		s.session.rows.Add(count)
		head, _ := s.ledger.fifo.head() // not done before its CommandComplete
		s.session.watch.rows(head, count, int64(n))
	}
	return n
}

// longest is how many bytes the body of most of a server's messages has at most: libpq's figure, for
// which a longer one is a sign that the two have lost step.
const longest = 30_000

// mayBeLong says whether a message of that type may be longer.
func mayBeLong(typ byte) bool {
	switch typ {
	case pgwire.MsgDataRow, pgwire.MsgCopyData, pgwire.MsgRowDescription, pgwire.MsgParameterDescription, pgwire.MsgErrorResponse,
		pgwire.MsgNoticeResponse, pgwire.MsgNotification, pgwire.MsgFunctionCallResponse:
		return true
	}
	return false
}

// errLastWords is a server that has said FATAL: nothing it may say behind it counts.
var errLastWords = fmt.Errorf("%w: the server has ended it", ErrServerLost)

// mustSee says whether a message is decoded and so must be in the buffer as a whole, if it fits.
func (s *Server) mustSee(typ byte) bool {
	switch typ {
	case 'D', 'd':
		head, ok := s.ledger.fifo.head()
		return ok && head.origin == fromBroker
	case 'E', 'N', 'S', 'Z', 'C', 'G', 'H', 'W':
		return true
	}
	return false
}

// verdict is what becomes of a server's message.
type verdict struct {
	forward bool
	instead []byte // forwarded in its place, when not nil
}

// message accounts for one message and says what the client gets of it. Called with mu.
func (s *Server) message(typ byte, body []byte, whole bool) (v verdict, err error) {
	switch typ {
	case pgwire.MsgNoticeResponse:
		v.forward = s.forClient()
		return v, nil
	case pgwire.MsgParameterStatus:
		return s.parameter(body, whole)
	case pgwire.MsgNotification:
		v.forward, err = s.notification()
		return v, err
	case pgwire.MsgBackendKeyData, pgwire.MsgAuthentication, pgwire.MsgNegotiateVersion:
		return v, fmt.Errorf("%w: %q after login", errUnexpected, typ)
	}
	var status byte
	if typ == pgwire.MsgReadyForQuery {
		if len(body) != 1 {
			return v, fmt.Errorf("%w: ReadyForQuery of %d bytes", errUnexpected, len(body))
		}
		status = body[0]
	}
	return s.reply(typ, status, body)
}

// reply accounts for a message that answers a request.
func (s *Server) reply(typ, status byte, body []byte) (v verdict, err error) {
	fatal := false
	if typ == pgwire.MsgErrorResponse {
		if e := parseError(body); e.Severity == pgwire.Fatal || e.Severity == pgwire.Panic {
			fatal, s.fatal = true, e
			if s.session != nil && s.unused() {
				if s.spans.empty() {
					s.setFree()
				} // else once it has its answers
				return v, nil
			}
		}
	}
	if typ == pgwire.MsgErrorResponse && !fatal && s.ledger.fifo.empty() && s.ledger.doubt == certain {
		return v, fmt.Errorf("%w: error with no request outstanding", errUnexpected)
	}
	if fatal {
		if s.session != nil {
			s.parting = s.fatal
			s.session.watch.lastWords(s.fatal)
		}
		return verdict{forward: s.session != nil}, nil // the end: what is outstanding gets no answer
	}
	head, done, err := s.ledger.received(typ, status)
	if err != nil {
		return v, err
	}
	if typ == pgwire.MsgErrorResponse && head.note != nil {
		head.note.failed = true
	}
	if typ == pgwire.MsgErrorResponse && head.seq > 0 && !head.ownsReady() {
		s.prepared.unnamed = unknown
		if s.undoDropped(); s.session != nil {
			s.session.unnamed.failed(head.seq, s.ledger.cut)
		}
	}
	if typ == pgwire.MsgParseComplete && head.note != nil && head.note.added {
		s.prepared.confirm(head.note.st, head.seq)
	}
	if head.origin == fromBroker {
		return s.ownReply(typ, status, body, head, done)
	}
	if s.session == nil {
		return v, fmt.Errorf("%w: %q on an idle connection", errUnexpected, typ)
	}
	v.forward = true
	if head.note != nil {
		v.instead = s.noted(typ, body, head.note, done)
	}
	if typ == pgwire.MsgErrorResponse && head.name != "" && s.size == headerSize+len(body) { // else it is larger than the buffer
		v.instead = s.session.cfg.Statements.renamed(body, head.name)
	}
	s.session.observe(s, typ, status, body, head)
	if v.instead != nil && typ == pgwire.MsgErrorResponse {
		body = v.instead[headerSize:]
	}
	s.session.watch.reply(typ, status, body, head, s.size)
	return v, nil
}

// undoDropped takes back what was assumed of requests that an error has cancelled, the last first.
func (s *Server) undoDropped() {
	for i := len(s.ledger.dropped) - 1; i >= 0; i-- {
		s.ledger.dropped[i].undo(s)
		s.ledger.dropped[i] = nil
	}
	s.ledger.dropped = s.ledger.dropped[:0]
}

// ownReply takes a message that answers a request of the broker's own. The client sees nothing of
// it, but for the failure of a Parse that its Bind needed (W36).
func (s *Server) ownReply(typ, status byte, body []byte, head token, done bool) (v verdict, err error) {
	n := head.note
	if n == nil {
		return v, nil
	}
	if typ == pgwire.MsgErrorResponse {
		switch {
		case n.action == replayed:
			if v.forward = s.session != nil; v.forward {
				s.session.undone(s)
				s.session.watch.reply(typ, status, body, head, s.size)
			}
		case n.mustSucceed:
			s.notice(Event{Kind: SettingsRefused})
			return v, fmt.Errorf("replay of the session's settings: %w", parseError(body))
		}
	}
	if typ == pgwire.MsgCloseComplete && n.removed {
		s.prepared.removed(n.st, head.seq)
	}
	n.collect(typ, status, body, done)
	if done && len(n.rebase) > 0 {
		s.rebase(n.rebase)
	}
	return v, nil
}

// noted applies what a message means to the session's prepared statements and state, and returns
// what the client reads instead of it, or nil.
func (s *Server) noted(typ byte, body []byte, n *note, done bool) (instead []byte) {
	switch {
	case typ == pgwire.MsgErrorResponse:
		if n.action == deallocated || n.action == allGone {
			n.undo(s) // a Query is not dropped by its error
		}
		if n.action != refused && s.size > headerSize+len(body) {
			return nil // larger than the buffer: it is not about a name
		}
		return n.translate(body)
	case n.action == standIn && typ == pgwire.MsgCloseComplete:
		n.succeeded(s)
		return pgwire.AppendEmpty(nil, pgwire.MsgParseComplete)
	case done && !n.failed:
		n.succeeded(s)
	}
	return nil
}

// forClient says whether an asynchronous message concerns the client: it holds the connection and
// the broker is not using it for itself.
func (s *Server) forClient() bool {
	if s.session == nil {
		return false
	}
	head, ok := s.ledger.fifo.head()
	return !ok || head.origin == fromClient
}

// parameter records a ParameterStatus and says what the client gets of it: the value as it is to see
// it, when it holds the connection and knows another (W46, W48).
func (s *Server) parameter(body []byte, whole bool) (v verdict, err error) {
	name, value, ok := cutParameter(body)
	if !ok || !whole {
		return v, fmt.Errorf("%w: ParameterStatus of %d bytes", errUnexpected, len(body))
	}
	if old, known := s.params.get(name); known && name == "in_hot_standby" && old != value {
		s.notice(Event{Kind: PartChanged})
	}
	if err := s.params.mayReport(name); err != nil {
		return v, err
	}
	s.params.set(name, value)
	if s.session != nil && s.session.cfg.Mode == TransactionMode && (name == "session_authorization" || name == "is_superuser") {
		if base, ok := s.base.get(name); ok && base != value {
			s.pinAnyway(sqllex.Role)
		}
	}
	if s.ledger.clean() {
		s.setBase(name, value) // nobody asked: the server's configuration was reloaded
	}
	if !slices.Contains(s.changed, name) {
		s.changed = append(s.changed, name)
	}
	if s.session == nil {
		return v, nil
	}
	s.readOnlyLost(name, value)
	shown := s.session.cfg.Profile.shown(name, value)
	v.forward = s.session.learn(name, shown, s.forClient())
	if v.forward && shown != value {
		v.instead = pgwire.AppendParameterStatus(nil, name, shown)
	}
	return v, nil
}

// notification passes NotificationResponse to a client that listens; the others are counted. An idle
// connection that gets one still listens for somebody who left: it is not handed out again (W65, W66).
func (s *Server) notification() (forward bool, err error) {
	if s.session != nil && (s.session.cfg.Mode == SessionMode || s.pins&sqllex.Listen != 0) {
		return true, nil
	}
	s.notice(Event{Kind: NotificationDropped})
	if s.session == nil && s.phase == phaseIdle {
		return false, fmt.Errorf("%w: notification on an idle connection", errUnexpected)
	}
	return false, nil
}

// cutParameter splits the body of a ParameterStatus. The strings do not alias the buffer.
func cutParameter(body []byte) (name, value string, ok bool) {
	n := indexNUL(body)
	if n < 0 {
		return "", "", false
	}
	rest := body[n+1:]
	m := indexNUL(rest)
	if m < 0 || m != len(rest)-1 {
		return "", "", false
	}
	return string(body[:n]), string(rest[:m]), true
}
