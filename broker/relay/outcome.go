package relay

import (
	"bytes"
	"encoding/binary"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// This file holds what becomes of a note when its request has been answered, or has not.

// succeeded applies what a request that was answered without an error means to the session's
// state. Called with the server's mu.
func (n *note) succeeded(server *Server) {
	n.known()
	if n.closes != "" && server.cursors.closed(n.closes, n.order) {
		n.unpins |= sqllex.HoldCursor
	}
	server.unpins |= server.acquiredBefore(n.unpins, n.order)
	if n.cleans && server.dirtyAt < n.order {
		server.dirty = false
	}
	if n.action == allGone {
		for _, known := range n.saved {
			n.session.texts -= len(known.st.tail)
			n.session.cfg.Statements.put(known.st)
		}
	}
	if n.change != nil {
		n.session.pending = append(n.session.pending, *n.change)
	}
	if (n.action == closed || n.action == deallocated) && n.st != nil && n.name != "" {
		n.session.cfg.Statements.put(n.st)
	}
}

// undo takes back what was assumed when the request was sent: the server has refused or skipped it.
// Called with the server's mu.
func (n *note) undo(server *Server) {
	if n.undone {
		return
	}
	n.undone = true
	n.known()
	switch {
	case n.action == allGone:
		for name, known := range n.saved {
			if _, taken := n.session.names[name]; !taken {
				n.session.names[name] = known
			} else {
				n.session.texts -= len(known.st.tail)
				n.session.cfg.Statements.put(known.st)
			}
		}
	case n.action == noAction:
	case n.action == closed && n.removed:
		server.prepared.undone(n.st, false, server.ledger.cut)
	case n.action == closed || n.action == deallocated:
		if n.st != nil && n.name != "" {
			if _, taken := n.session.names[n.name]; taken {
				n.session.cfg.Statements.put(n.st)
			} else {
				n.session.names[n.name] = named{st: n.st, name: n.name}
				n.session.texts += len(n.st.tail)
			}
		}
	case n.st == nil, n.action == duplicate, n.st.name == "":
	default:
		if n.added {
			server.prepared.undone(n.st, n.failed, server.ledger.cut)
		}
		if known, ok := n.session.names[n.name]; ok && known.st == n.st && (n.action == preparing || n.action == standIn) {
			n.session.drop(n.name)
			n.session.cfg.Statements.put(n.st)
		}
	}
}

// abandoned gives back what a request has taken from its session, whose connection has ended before
// the answer. The session itself may be gone.
func (n *note) abandoned(c *Statements) {
	switch n.action {
	case closed, deallocated:
		if n.st != nil && n.name != "" && !n.undone {
			c.put(n.st)
		}
	case allGone:
		for _, known := range n.saved {
			c.put(known.st)
		}
	}
}

// translate returns what the client reads instead of the error that the server gave for a request
// that the broker changed, or nil when it is the server's own words: the client's name instead of
// the server's (W35), or the broker's refusal.
func (n *note) translate(body []byte) []byte {
	switch n.action {
	case duplicate:
		changed := bytes.ReplaceAll(body, []byte(`"`+takenName+`"`), []byte(`"`+n.name+`"`))
		return appendMessage(nil, pgwire.MsgErrorResponse, changed)
	case deallocated:
		changed := bytes.ReplaceAll(body, []byte(takenName), []byte(n.name))
		return appendMessage(nil, pgwire.MsgErrorResponse, changed)
	case refused:
		return pgwire.AppendError(nil, n.refusal)
	}
	return nil
}

// renamed returns what the client reads instead of an error that may name a statement as servers know it: the client's
// name for it (W35), as when it does not exist, or wants other parameters than were bound. Nil: the error names none.
func (c *Statements) renamed(body []byte, name string) []byte {
	at := bytes.Index(body, []byte(`"`+c.prefix))
	if at < 0 {
		return nil
	}
	end := bytes.IndexByte(body[at+1:], '"')
	if end < 0 {
		return nil
	}
	theirs := body[at : at+1+end+1]
	return appendMessage(nil, pgwire.MsgErrorResponse, bytes.ReplaceAll(body, theirs, []byte(`"`+name+`"`)))
}

// appendMessage appends a message with that body.
func appendMessage(dst []byte, typ byte, body []byte) []byte {
	dst = append(dst, typ)
	dst = binary.BigEndian.AppendUint32(dst, uint32(4+len(body)))
	return append(dst, body...)
}
