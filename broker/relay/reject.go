package relay

import (
	"errors"

	"github.com/pgsignet/pgsignet/pgwire"
)

// dropLate drops what a client that holds no connection may still send of a COPY that has failed:
// nobody waits for it (W58).
func (s *Session) dropLate(b []byte) []byte {
	for len(b) > 0 {
		if s.in.remain > 0 {
			b = s.in.skip(b)
			continue
		}
		if len(b) < headerSize {
			return b
		}
		typ, length, err := pgwire.ClientHeader(b)
		if err != nil {
			return b
		}
		switch typ {
		case pgwire.MsgCopyData, pgwire.MsgCopyDone, pgwire.MsgCopyFail, pgwire.MsgFlush:
			s.in.remain, s.in.drop = length+1, true
		default:
			return b
		}
	}
	return b
}

// reject answers the request that begins with a message of type typ, for which no server connection
// could be had, with an error, and has the rest of it dropped (W23).
func (s *Session) reject(typ byte, cause error) error {
	if s.end.Load() != nil {
		return cause
	}
	e, ok := errors.AsType[shown](cause)
	if !ok {
		return cause
	}
	s.errors.Add(1)
	s.rejecting = true
	s.rejectOne = typ == pgwire.MsgQuery || typ == pgwire.MsgFunctionCall
	return s.out.send(pgwire.AppendError(nil, &pgwire.Error{
		Severity: pgwire.Err, Code: e.SQLState(), Message: e.Public(), Slug: e.Reason(),
	}))
}

// rejectRest drops the rest of a rejected request, a message or a batch up to its Sync, and then
// tells the client that it may go on. It returns what belongs to the next request.
func (s *Session) rejectRest(b []byte) []byte {
	for len(b) > 0 {
		if s.in.remain > 0 {
			b = s.in.skip(b)
			if s.in.remain > 0 || !s.rejectEnds {
				continue
			}
			return s.rejected(b)
		}
		if len(b) < headerSize {
			return b // the caller waits for more
		}
		typ, length, err := pgwire.ClientHeader(b)
		if err != nil || typ == pgwire.MsgTerminate {
			return s.rejected(b)
		}
		s.in.remain = length + 1
		s.rejectEnds = s.rejectOne || typ == pgwire.MsgSync
	}
	return b
}

func (s *Session) rejected(b []byte) []byte {
	s.rejecting, s.rejectOne, s.rejectEnds = false, false, false
	if err := s.out.send(pgwire.AppendReadyForQuery(nil, 'I')); err != nil {
		s.clientLost(err)
	}
	return b
}
