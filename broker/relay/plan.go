package relay

import "github.com/pgsignet/pgsignet/pgwire"

// plan records the messages in b with the server's ledger, before their bytes are sent, and puts
// what is to be sent into the outbox. Called with the server's mu.
func (s *Session) plan(server *Server, b []byte) (rest []byte, want int, err error) {
	for len(b) > 0 {
		if s.in.remain > 0 {
			n := min(s.in.remain, len(b))
			s.in.remain -= n
			if !s.in.drop {
				s.box.add(b[:n])
			}
			b = b[n:]
			continue
		}
		if len(b) < headerSize {
			return b, headerSize, nil
		}
		typ, length, err := pgwire.ClientHeader(b)
		if err != nil {
			return nil, 0, err
		}
		if typ == pgwire.MsgTerminate {
			s.in.have = 0 // nothing behind it counts
			return nil, 0, errGoodbye
		}
		total := length + 1
		if need := s.need(typ, b, total); len(b) < need {
			return b, need, nil
		}
		n := min(total, len(b))
		s.dropRest = false
		before := server.ledger.mine
		if err := s.message(server, typ, b[:n], total); err != nil {
			return b, 0, err
		}
		s.watch.sent(server, typ, before)
		s.in.remain, s.in.drop = total-n, s.dropRest
		b = b[n:]
	}
	return nil, 0, nil
}

// need is how many bytes of a message must be there before it is accounted for.
func (s *Session) need(typ byte, b []byte, total int) int {
	return max(s.mustHave(typ, b, total), s.watch.need(typ, b, total))
}

// mustHave is how many bytes of a message its relaying looks at.
func (s *Session) mustHave(typ byte, b []byte, total int) int {
	if s.cfg.Mode == SessionMode {
		switch {
		case typ == pgwire.MsgDescribe:
			return min(total, headerSize+1)
		case s.cfg.Profile.guarded() && (typ == pgwire.MsgQuery || typ == pgwire.MsgParse):
			return min(total, inspectLimit)
		}
		return headerSize
	}
	switch typ {
	case pgwire.MsgDescribe, pgwire.MsgClose, pgwire.MsgExecute:
		return total
	case pgwire.MsgFunctionCall:
		return min(total, headerSize+4)
	case pgwire.MsgQuery, pgwire.MsgParse:
		return min(total, inspectLimit)
	case pgwire.MsgBind:
		return namesEnd(b, total)
	}
	return headerSize
}

// namesEnd is how many bytes of a Bind hold its two names: those that are there already when the
// names are complete, else as many as the message has, within inspectLimit.
func namesEnd(b []byte, total int) int {
	seen := 0
	for i := headerSize; i < min(len(b), total); i++ {
		if b[i] == 0 {
			if seen++; seen == 2 {
				return i + 1
			}
		}
	}
	return min(total, inspectLimit)
}
