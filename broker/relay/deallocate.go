package relay

import (
	"strings"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// This file holds what transaction mode makes of SQL DEALLOCATE of a name that the client has
// prepared by the protocol (W41). Servers know the statement by another name, and may hold it for
// others: what is deallocated in its stead is an empty statement under a name that is the broker's
// own, prepared right before. An empty text is prepared even in a failed transaction.

// takenName is a name under which the broker prepares an empty statement where a name must be taken.
const takenName = "_pgsignet_taken"

// deallocateTaken is the text that a client's DEALLOCATE becomes.
const deallocateTaken = "DEALLOCATE " + takenName

// portal is a portal of a statement that leaves something when it is executed.
type portal struct {
	st          *statement
	deallocates string // the client's name for a statement; empty: none
}

// take has takenName taken by an empty statement. n is what a failure means; it cannot fail but for
// want of memory. Called with the server's mu.
func (s *Session) take(server *Server, n *note) {
	s.closeTaken(server, n)
	server.ledger.sent(pgwire.MsgParse, 0, fromBroker, n)
	s.box.put(pgwire.AppendParse(s.box.room(), takenName, "", nil))
}

// closeTaken has nothing prepared under takenName.
func (s *Session) closeTaken(server *Server, n *note) {
	server.ledger.sent(pgwire.MsgClose, 0, fromBroker, n)
	s.box.put(pgwire.AppendClose(s.box.room(), 'S', takenName))
}

// deallocated says which of the client's names a statement deallocates and nothing else: none is "".
// One that declares types of parameters, which it has not, is left to the server.
func (s *Session) deallocated(st *statement) (name string) {
	if !st.effects.Has(sqllex.Deallocate) || st.effects.Statements != 1 || !strings.HasSuffix(st.tail, "\x00\x00\x00") {
		return ""
	}
	if _, ok := s.names[st.effects.Name]; !ok {
		return ""
	}
	return st.effects.Name
}

// drops forgets a name whose DEALLOCATE is about to be sent, and returns what its reply means. A
// name that has gone since the statement was bound leaves the server nothing to deallocate.
func (s *Session) drops(name string) *note {
	n := &note{action: deallocated, session: s, name: name}
	if old, ok := s.names[name]; ok {
		n.st = old.st
		s.drop(name)
		s.counts(n)
	}
	return n
}

// queryDeallocate relays a Query that deallocates a name of the client's.
func (s *Session) queryDeallocate(server *Server, name string) error {
	s.take(server, &note{mustSucceed: true}) // without it the server would skip the Query
	server.ledger.sent(pgwire.MsgQuery, 0, fromClient, s.drops(name))
	s.ousted(server, nil)
	s.box.put(pgwire.AppendQuery(s.box.room(), deallocateTaken))
	return nil
}

// executeDeallocate prepares for an Execute that deallocates a name which the client had when it
// bound the statement.
func (s *Session) executeDeallocate(server *Server, name string) *note {
	ahead := &note{action: replayed, session: s}
	if _, ok := s.names[name]; ok {
		s.take(server, ahead)
	} else {
		s.closeTaken(server, ahead)
	}
	return s.drops(name)
}
