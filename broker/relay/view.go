package relay

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// counters are a session's own statistics: nobody else writes them, so that they cost no contention.
type counters struct {
	transactions, queries       atomic.Int64
	transactionTime, queryTime  atomic.Int64 // nanoseconds
	parses, serverParses, binds atomic.Int64
	prepared                    atomic.Int64 // statements the client has by name
	began                       int64        // of the transaction under way, Unix nanoseconds; guarded by the server's mu
}

// asked counts a client's message. Called with the server's mu.
func (c *counters) asked(typ byte) {
	switch typ {
	case pgwire.MsgParse:
		c.parses.Add(1)
	case pgwire.MsgBind:
		c.binds.Add(1)
	}
}

// ready counts a ReadyForQuery; since is when the oldest unanswered request was forwarded. Called
// with the server's mu.
func (c *counters) ready(status byte, since, now int64) {
	if since == 0 {
		since = now
	}
	if c.began == 0 {
		c.began = since
	}
	c.queries.Add(1)
	c.queryTime.Add(now - since)
	if status == 'I' {
		c.transactions.Add(1)
		c.transactionTime.Add(now - c.began)
		c.began = 0
	}
}

// Totals is what a session has done so far.
type Totals struct {
	Transactions, Queries      int64 // a query is what ends in one ReadyForQuery
	TransactionTime, QueryTime time.Duration
	Parses, ServerParses       int64 // asked for by the client; sent to servers
	Binds                      int64
	Statements, Errors, Rows   int64
	BytesIn, BytesOut          int64 // read from and written to the client
}

// Add adds o to t.
func (t *Totals) Add(o Totals) {
	t.Transactions += o.Transactions
	t.Queries += o.Queries
	t.TransactionTime += o.TransactionTime
	t.QueryTime += o.QueryTime
	t.Parses += o.Parses
	t.ServerParses += o.ServerParses
	t.Binds += o.Binds
	t.Statements += o.Statements
	t.Errors += o.Errors
	t.Rows += o.Rows
	t.BytesIn += o.BytesIn
	t.BytesOut += o.BytesOut
}

// Totals returns the session's statistics. Safe for concurrent use.
func (s *Session) Totals() Totals {
	c := &s.counters
	return Totals{
		Transactions: c.transactions.Load(), Queries: c.queries.Load(),
		TransactionTime: time.Duration(c.transactionTime.Load()), QueryTime: time.Duration(c.queryTime.Load()),
		Parses: c.parses.Load(), ServerParses: c.serverParses.Load(), Binds: c.binds.Load(),
		Statements: s.statements.Load(), Errors: s.errors.Load(), Rows: s.rows.Load(),
		BytesIn: s.in.total.Load(), BytesOut: s.out.sent.Load(),
	}
}

// View is a session at one moment, for the console.
type View struct {
	Server   *Server // that it holds, or nil
	Waiting  bool    // for a server connection
	Pinned   string  // why it keeps its server in transaction mode, in words; "" when it does not
	Prepared int     // statements that the client has by name
}

// Queued says whether the session waits for a server connection. Safe for concurrent use.
func (s *Session) Queued() bool { return s.turn.isOn() }

// View returns the session as it is now. Safe for concurrent use; it never blocks on the network.
func (s *Session) View() View {
	v := View{Prepared: int(s.counters.prepared.Load())}
	s.mu.Lock()
	v.Waiting = s.Queued()
	server := s.server
	s.mu.Unlock()
	if server == nil {
		return v
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	if server.session == s {
		v.Server, v.Pinned = server, pinNames(server.pins)
	}
	return v
}

// pinWords name the pins, in the order of sqllex.
var pinWords = []struct {
	flag sqllex.Flags
	word string
}{
	{sqllex.SetOther, "set"}, {sqllex.Role, "role"}, {sqllex.Prepare, "prepare"}, {sqllex.Listen, "listen"},
	{sqllex.AdvisoryLock, "advisory_lock"}, {sqllex.Temp, "temp"}, {sqllex.HoldCursor, "hold_cursor"},
	{sqllex.Load, "load"}, {sqllex.Unresettable, "unresettable"}, {pinHuge, "huge_statement"},
}

func pinNames(pins sqllex.Flags) string {
	var words []string
	for _, p := range pinWords {
		if pins&p.flag != 0 {
			words = append(words, p.word)
		}
	}
	return strings.Join(words, ",")
}
