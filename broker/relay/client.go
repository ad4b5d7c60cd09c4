package relay

import (
	"errors"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
)

// shown is an error that may be shown to a client.
type shown interface {
	error
	SQLState() string
	Reason() string
	Public() string
}

// errEnded is a request that came after the session's end.
var errEnded = errors.New("session ended")

// errGoodbye is a client's Terminate.
var errGoodbye = errors.New("client said goodbye")

// serve is the client's half of the relay: it reads requests, accounts for them and writes them to
// a server connection. It returns how the client's side ended.
func (s *Session) serve() End {
	defer s.in.release()
	for {
		b, err := s.in.next()
		if len(b) > 0 {
			if fault := s.request(b); fault != nil {
				return s.faulty(fault)
			}
		}
		if err != nil {
			return s.ended(End{Reason: readEnd(err)})
		}
		if e := s.end.Load(); e != nil {
			return *e
		}
	}
}

// request serves one read's worth of messages. What a connection is held for goes out in one write.
func (s *Session) request(b []byte) error {
	now := time.Now()
	s.clocks.lastActive.Store(clockOf(now))
	s.watch.begin()
	for len(b) > 0 {
		switch server := s.heldServer(); {
		case s.rejecting:
			if b = s.rejectRest(b); s.rejecting && len(b) > 0 {
				s.in.keep(len(b), headerSize)
				return nil
			}
		case s.watch.due():
			if err := s.inspect(b, server, now); err != nil {
				return err
			}
			if s.watch.gate {
				now = time.Now()
			}
		case server == nil:
			if b = s.dropLate(b); len(b) == 0 {
				break
			}
			want, err := s.firstNeeds(b)
			if err != nil {
				return err
			}
			if len(b) < want {
				s.in.keep(len(b), want) // no connection for half a message
				return nil
			}
			waited, err := s.lease()
			if err != nil {
				s.watch.refused(err)
				if err = s.reject(b[0], err); err != nil {
					return err
				}
			}
			if waited {
				now = time.Now() // which is no part of the statement
			}
		default:
			rest, want, err := s.forward(server, b, now)
			switch {
			case errors.Is(err, errNotHeld):
				continue
			case errors.Is(err, errMustWait):
				s.awaitAnswers(server)
				b = rest
				continue
			case errors.Is(err, errCancelling):
				s.awaitCancels(server)
				b = rest
				continue
			case errors.Is(err, errOwesMuch):
				s.awaitWhile(server, (*Server).owesMuchTo)
				b = rest
				continue
			case err != nil:
				return err
			}
			s.in.keep(len(rest), want)
			return nil
		}
	}
	s.in.keep(len(b), 0)
	return nil
}

// firstNeeds is how many bytes of the message at the front of b must be there before a server
// connection is leased for it.
func (s *Session) firstNeeds(b []byte) (want int, err error) {
	if len(b) < headerSize {
		return headerSize, nil
	}
	typ, length, err := pgwire.ClientHeader(b)
	if err != nil {
		return 0, err
	}
	if typ == pgwire.MsgTerminate {
		s.in.have = 0 // nothing behind it counts
		return 0, errGoodbye
	}
	return s.need(typ, b, length+1), nil
}

// heldServer is the server connection that the session holds, if it still does.
func (s *Session) heldServer() *Server {
	server := s.held()
	if server == nil || !server.heldBy(s) {
		return nil
	}
	return server
}

// Why forward has not done all.
var (
	errNotHeld  = errors.New("connection released before anything was sent")
	errMustWait = errors.New("what a message means depends on answers that are due")

	errOwesMuch   = errors.New("the server has too much to answer")
	errCancelling = errors.New("a cancel request is under way for what the connection ran before")
)

// forward accounts for the messages in b and sends them. rest is what it has left: the front of a
// message of which want bytes are needed, or, with errMustWait, all from the message that waits.
func (s *Session) forward(server *Server, b []byte, now time.Time) (rest []byte, want int, err error) {
	s.box.reset()
	server.mu.Lock()
	if server.session != s || server.lost != nil || s.end.Load() != nil {
		err = errNotHeld
		switch {
		case s.end.Load() != nil:
			err = errEnded
		case server.session == s:
			err = ErrServerLost
		}
		server.mu.Unlock()
		return nil, 0, err
	}
	if server.retired.Load() && s.mayLeave(server) || s.mustLeave(server) {
		server.mu.Unlock()
		return b, 0, errMustWait
	}
	if server.cancels > 0 && s.in.remain == 0 && server.ledger.clean() && b[0] != pgwire.MsgTerminate {
		server.mu.Unlock()
		return b, 0, errCancelling
	}
	if server.owesMuch() && s.in.remain == 0 {
		server.mu.Unlock()
		return b, 0, errOwesMuch
	}
	s.replay(server)
	s.watch.sending(now)
	rest, want, err = s.plan(server, b)
	s.clocks.asked(&server.ledger, clockOf(now))
	s.counters.prepared.Store(int64(len(s.names)))
	server.partial = s.in.remain
	server.writing = true
	server.mu.Unlock()

	if out := s.box.bytes(); len(out) > 0 {
		if _, werr := server.Conn.Write(out); werr != nil && (err == nil || errors.Is(err, errMustWait)) && server.heldBy(s) {
			err = ErrServerLost
		}
	}
	s.box.shrink()
	server.wrote()
	return rest, want, err
}

// message accounts for one message and puts what the server shall read of it into the outbox.
func (s *Session) message(server *Server, typ byte, msg []byte, total int) error {
	if err := s.mayFollow(server, typ); err != nil {
		return err
	}
	switch typ {
	case pgwire.MsgQuery, pgwire.MsgFunctionCall, pgwire.MsgExecute:
		s.statements.Add(1)
		s.clocks.ran = true
	}
	s.counters.asked(typ)
	switch {
	case server.ledger.skip && typ != pgwire.MsgSync:
		s.box.add(msg) // the server drops it unread
		return nil
	case typ == pgwire.MsgSync:
		return s.sync(server, msg)
	case s.cfg.Mode == SessionMode:
		if typ == pgwire.MsgParse {
			s.counters.serverParses.Add(1)
		}
		if typ == pgwire.MsgParse || typ == pgwire.MsgQuery {
			s.mayDefault(msg, len(msg) == total)
		}
		switch {
		case !s.cfg.Profile.guarded():
		case typ == pgwire.MsgQuery:
			return s.guardQuery(server, msg, total)
		case typ == pgwire.MsgParse:
			return s.guardParse(server, msg, total)
		}
		if err := s.pass(server, msg); err != nil {
			return err
		}
		return nil
	}
	switch typ {
	case pgwire.MsgQuery:
		return s.query(server, msg, total)
	case pgwire.MsgParse:
		return s.parse(server, msg, total)
	case pgwire.MsgBind:
		return s.bind(server, msg, total)
	case pgwire.MsgDescribe:
		return s.describe(server, msg)
	case pgwire.MsgExecute:
		return s.execute(server, msg)
	case pgwire.MsgFunctionCall:
		return s.functionCall(server, msg)
	case pgwire.MsgClose:
		return s.closeName(server, msg)
	}
	return s.pass(server, msg)
}

// mayFollow says whether a message may be sent now, or what stands against it.
func (s *Session) mayFollow(server *Server, typ byte) error {
	switch typ {
	case pgwire.MsgSync, pgwire.MsgFlush, pgwire.MsgCopyData, pgwire.MsgCopyDone, pgwire.MsgCopyFail:
		return nil
	}
	if s.cfg.Mode == TransactionMode && server.ledger.doubt == unsure {
		return errCopyDoubt
	}
	if s.barrier {
		if server.ledger.willAnswer() {
			return errMustWait
		}
		s.barrier = false
	}
	return nil
}

// errCopyDoubt is a client that goes on behind a failed COPY without the Sync that it owes: which of
// its messages the server skips cannot be known.
var errCopyDoubt = &pgwire.Error{
	Severity: pgwire.Fatal, Code: pgwire.ProtocolViolation, Message: "expected Sync after an error in COPY", Slug: string(ProtocolError),
}

// sync relays a Sync.
func (s *Session) sync(server *Server, msg []byte) error {
	if err := s.pass(server, msg); err != nil {
		return err
	}
	if server.ledger.needsFence() {
		s.fence(server)
	}
	return nil
}

// pass relays a message as it is.
func (s *Session) pass(server *Server, msg []byte) error {
	var sub byte
	if len(msg) > headerSize {
		sub = msg[headerSize]
	}
	server.ledger.sent(msg[0], sub, fromClient, nil)
	s.box.add(msg)
	return nil
}

// fence asks the server for a CloseComplete that tells how many answers are still the client's
// (W57).
func (s *Session) fence(server *Server) {
	server.ledger.raiseFence()
	out := pgwire.AppendClose(s.box.room(), 'S', server.unusedName())
	s.box.put(pgwire.AppendEmpty(out, pgwire.MsgSync))
}

// lease waits for a server connection and takes it. waited is false when that took no time worth speaking of:
// of the first, the owner may ask for proof.
func (s *Session) lease() (waited bool, err error) {
	waited = s.held() == nil
	for {
		s.begin(&s.turn)
		lease, err := s.cfg.Acquire(&s.turn)
		slow, cause := s.turn.over()
		waited = waited || slow
		switch {
		case errors.Is(cause, errCancelled):
			if err == nil {
				lease.Release() // it came at the same moment, and whoever cancelled was told that he has
			}
			return waited, cause
		case err != nil:
			return waited, err // the owner knows why the session was ended
		}
		server := lease.Server()
		s.mu.Lock()
		s.server = server
		s.mu.Unlock()
		news, ok := server.link(s, lease)
		if !ok {
			lease.Destroy() // it ended on the way: nothing was sent, the next one serves
			continue
		}
		if len(news) > 0 {
			err = s.out.send(news)
		}
		return waited, err
	}
}

// terminated serves a client that has said goodbye: what it sent before is still answered (W82).
func (s *Session) terminated() End {
	s.answerRest()
	return s.ended(End{Reason: ClientTerminated})
}

// answerRest lets the server answer what was sent, if it can.
func (s *Session) answerRest() {
	if server := s.heldServer(); server != nil {
		s.awaitAnswers(server)
	}
}

// awaitLoss gives the server's reader the time to find out why a write to it failed: its last words
// are the client's, not ours (W67).
func (s *Session) awaitLoss() {
	wait := time.NewTimer(lastWords)
	defer wait.Stop()
	select {
	case <-s.ctx.Done():
	case <-wait.C:
	}
}

// ended returns the cause that was decided elsewhere, if any, else the one found here.
func (s *Session) ended(found End) End {
	if e := s.end.Load(); e != nil {
		return *e
	}
	return found
}

// faulty classifies a request that could not be relayed.
func (s *Session) faulty(err error) End {
	switch {
	case errors.Is(err, errGoodbye):
		return s.terminated()
	case errors.Is(err, ErrServerLost):
		s.awaitLoss()
		return s.ended(End{Reason: UpstreamClosed, Tell: serverLostError()})
	}
	if u, ok := errors.AsType[*unrecorded](err); ok {
		return s.ended(End{Reason: AuditFailed, Tell: u.tell})
	}
	s.answerRest()
	e := End{Reason: ProtocolError}
	if tell, ok := errors.AsType[*pgwire.Error](err); ok {
		e.Tell = tell
	}
	return s.ended(e)
}

func serverLostError() *pgwire.Error {
	return &pgwire.Error{
		Severity: pgwire.Fatal, Code: pgwire.ConnectionFailure,
		Message: "server connection lost", Slug: string(UpstreamClosed),
	}
}
