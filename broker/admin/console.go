package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Rights say what an administrator may do.
type Rights string

// The rights. A viewer may use SHOW and what changes nothing.
const (
	Viewer   Rights = "viewer"
	Operator Rights = "operator"
)

// Broker is what the console shows and steers.
type Broker interface {
	// State returns everything that SHOW can show.
	State() *State
	// Do runs a command that changes something, when it is recorded. It may block until ctx ends.
	Do(ctx context.Context, c Command) (Done, error)
	// Denied records a command that the administrator has no right to.
	Denied(c Command)
}

// Done is the outcome of a command.
type Done struct {
	Count   int  // sessions ended, locks removed
	Counted bool // the tag shows Count
	Notice  string
}

// Console is one session of the console: a client that is logged in and has been welcomed.
type Console struct {
	Broker Broker
	Rights func() Rights // asked before every command (CVE-2026-6667)
	Conn   net.Conn

	in         input
	out        []byte
	broken     error // the client does not read what it asked for
	statements map[string]prepared
	portals    map[string]*portal
	stored     int  // bytes of statements and of the names of portals
	held       int  // rows of suspended portals
	skipping   bool // an error in the extended protocol: to the next Sync

	mu     sync.Mutex // guards cancel
	cancel context.CancelCauseFunc
}

// Parameters are what a client is told after it has logged in.
var Parameters = []pgwire.Param{
	{Name: "server_version", Value: "1.25.2/bouncer"}, {Name: "client_encoding", Value: "UTF8"},
	{Name: "server_encoding", Value: "UTF8"}, {Name: "DateStyle", Value: "ISO"}, {Name: "TimeZone", Value: "GMT"},
	{Name: "standard_conforming_strings", Value: "on"}, {Name: "is_superuser", Value: "on"},
}

// What a client may have the console keep: one message, all statements and names of portals together and
// what is not sent yet, in bytes; the rows of suspended portals together.
const (
	maxMessage = 64 << 10
	maxStored  = 1 << 20
	maxUnsent  = 64 << 10
	maxHeld    = 50_000
)

var errCancelled = &pgwire.Error{Severity: pgwire.Err, Code: pgwire.QueryCanceled, Message: "canceling statement due to user request"}

// Serve answers commands until the client leaves, which is no error, or ctx ends. It blocks.
func (c *Console) Serve(ctx context.Context) error {
	c.in.conn = c.Conn
	c.statements, c.portals = make(map[string]prepared), make(map[string]*portal)
	stop := context.AfterFunc(ctx, func() { c.Conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		typ, body, err := c.read()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, io.EOF), err == nil && typ == pgwire.MsgTerminate:
			return nil
		case err != nil:
			return err
		}
		if err := c.message(ctx, typ, body); err != nil {
			return err
		}
	}
}

// Cancel cancels the command under way, if it waits for something; it says whether there was one.
func (c *Console) Cancel() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel == nil {
		return false
	}
	c.cancel(errCancelled)
	return true
}

func (c *Console) read() (typ byte, body []byte, err error) {
	var head [pgwire.HeaderSize]byte
	if _, err := io.ReadFull(&c.in, head[:]); err != nil {
		return 0, nil, err
	}
	typ, length, err := pgwire.ClientHeader(head[:])
	if err != nil {
		return 0, nil, err
	}
	if length > maxMessage {
		return 0, nil, &pgwire.Error{Severity: pgwire.Fatal, Code: pgwire.ProgramLimitExceeded, Message: "message too long", Slug: "protocol"}
	}
	body = make([]byte, length-4)
	_, err = io.ReadFull(&c.in, body)
	return typ, body, err
}

// flush sends what has been gathered.
func (c *Console) flush() error {
	if c.broken == nil && len(c.out) > 0 {
		_, c.broken = c.Conn.Write(c.out)
	}
	if c.out = c.out[:0]; cap(c.out) > 2*maxUnsent {
		c.out = nil
	}
	return c.broken
}

// bound keeps what is not sent yet small: a client may ask for much without reading.
func (c *Console) bound() error {
	if len(c.out) < maxUnsent {
		return c.broken
	}
	return c.flush()
}

func (c *Console) ready() error {
	c.out = pgwire.AppendReadyForQuery(c.out, pgwire.TxIdle)
	return c.flush()
}

// message answers one message of the client.
func (c *Console) message(ctx context.Context, typ byte, body []byte) error {
	switch {
	case typ == pgwire.MsgSync:
		c.skipping = false
		c.closePortals()
		return c.ready()
	case c.skipping:
		return nil
	case typ == pgwire.MsgQuery:
		c.simple(ctx, body)
		return c.ready()
	case typ == pgwire.MsgFlush:
		return c.flush()
	}
	if err := c.extended(ctx, typ, body); err != nil {
		c.fail(err)
		c.skipping = true
		return c.flush()
	}
	return c.bound()
}

// simple answers a Query.
func (c *Console) simple(ctx context.Context, body []byte) {
	sql, _, ok := cstring(body)
	if !ok {
		c.fail(&pgwire.Error{Severity: pgwire.Err, Code: pgwire.ProtocolViolation, Message: "invalid Query message"})
		return
	}
	list, err := parseAll(sql)
	if err != nil {
		c.fail(err)
		return
	}
	if len(list) == 0 {
		c.out = pgwire.AppendEmpty(c.out, pgwire.MsgEmptyQueryResponse)
	}
	for _, cmd := range list {
		cols := cmd.Columns()
		rows, tag, err := c.run(ctx, cmd)
		if err != nil {
			c.fail(err)
			return
		}
		if cols != nil {
			c.out = pgwire.AppendRowDescription(c.out, cols)
			c.rows(rows, cols)
		}
		c.out = pgwire.AppendCommandComplete(c.out, tag)
		if c.bound() != nil {
			return // as ready will say
		}
	}
}

func (c *Console) rows(rows []row, cols []pgwire.Column) {
	values := make([]*string, len(cols))
	for _, r := range rows {
		for i := range cols {
			values[i] = encode(r[i], cols[i])
		}
		c.out = pgwire.AppendDataRow(c.out, values)
		if c.bound() != nil {
			return
		}
	}
}

// fail tells an error; the session goes on.
func (c *Console) fail(err error) {
	e := &pgwire.Error{Severity: pgwire.Err, Code: pgwire.InternalError, Message: "internal error"}
	if shown, ok := errors.AsType[interface {
		error
		SQLState() string
		Public() string
	}](err); ok {
		e.Code, e.Message = shown.SQLState(), shown.Public()
		if h, ok := shown.(interface{ Hint() string }); ok {
			e.HintText = h.Hint()
		}
	}
	c.out = pgwire.AppendError(c.out, e)
}

func (c *Console) notice(text string) {
	c.out = pgwire.AppendNotice(c.out, &pgwire.Error{Severity: pgwire.Notice, Code: pgwire.SuccessfulCompletion, Message: text})
}

// run executes one command: its rows, if it has any, and its tag.
func (c *Console) run(ctx context.Context, cmd Command) ([]row, string, error) {
	rights := c.Rights()
	if rights != Operator && (rights != Viewer || !cmd.harmless()) {
		c.Broker.Denied(cmd)
		return nil, "", &pgwire.Error{Severity: pgwire.Err, Code: pgwire.InsufficientPrivilege, Message: "admin access needed", Slug: "not_operator"}
	}
	switch {
	case cmd.Verb == "SHOW" && cmd.Name == "help":
		for line := range strings.Lines(help) {
			c.notice(strings.TrimSuffix(line, "\n"))
		}
		return nil, "SHOW", nil
	case cmd.Verb == "SHOW":
		return c.Broker.State().rows(cmd.Name), "SHOW", nil
	case cmd.Verb == "SET":
		return nil, "SET", c.set(cmd.Name)
	case cmd.Verb == "DEALLOCATE", cmd.Verb == "DISCARD":
		tag, err := c.deallocate(cmd)
		return nil, tag, err
	case cmd.harmless():
		return nil, cmd.tag(), nil
	case cmd.Verb == "SUSPEND":
		return nil, "", &pgwire.Error{Severity: pgwire.Err, Code: pgwire.FeatureNotSupported, Message: "SUSPEND is not supported",
			HintText: "Start the new process: it takes over the listening sockets while this one drains."}
	}
	if err := c.flush(); err != nil { // what it answered before is not held up
		return nil, "", err
	}
	done, err := c.do(ctx, cmd)
	if err != nil {
		return nil, "", err
	}
	if done.Notice != "" {
		c.notice(done.Notice)
	}
	tag := cmd.tag()
	if done.Counted {
		tag = fmt.Sprintf("%s %d", tag, done.Count)
	}
	return nil, tag, nil
}

// do has a command carried out. One that waits ends when it is cancelled and when the client leaves.
func (c *Console) do(ctx context.Context, cmd Command) (Done, error) {
	within, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c.setCancel(stop)
	defer c.setCancel(nil)
	if cmd.waits() {
		defer c.in.watch(ctx, stop)()
	}
	done, err := c.Broker.Do(within, cmd)
	if cause := context.Cause(within); err != nil && errors.Is(cause, errCancelled) {
		err = cause
	}
	return done, err
}

func (c *Console) setCancel(stop context.CancelCauseFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel = stop
}

// set ignores what drivers set, and refuses our own settings: the file is their source.
func (c *Console) set(name string) error {
	for _, s := range c.Broker.State().Settings {
		if s.Key == name {
			return &pgwire.Error{Severity: pgwire.Err, Code: pgwire.FeatureNotSupported,
				Message: "settings are changed in the configuration file", HintText: "Change the file, then RELOAD."}
		}
	}
	c.notice("SET ignored")
	return nil
}

// help is SHOW HELP.
const help = `Console usage: SHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION|STATE|LISTS|MEM|
SHOW SOCKETS|ACTIVE_SOCKETS|STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS|PEERS|PEER_POOLS|DNS_HOSTS|DNS_ZONES|
SHOW SESSIONS|CERTS|MAPS|LOCKS|TRUST|
PAUSE [db]|RESUME [db]|RECONNECT [db]|KILL [db]|WAIT_CLOSE [db]|DISABLE db|ENABLE db|KILL_CLIENT id|
KILL SESSION 'sid'|KILL CERT target|LOCK CERT target [FOR 'interval'] [REASON 'text']|UNLOCK CERT target|
RELOAD|SHUTDOWN [WAIT_FOR_SERVERS or WAIT_FOR_CLIENTS]|
target is SHA256 'hex', SPKI 'hex', SERIAL 'hex' ISSUER 'dn', DN 'dn' or SPIFFE 'uri'`
