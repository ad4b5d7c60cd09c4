package admin

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/pgsignet/pgsignet/pgwire"
)

// This file holds the extended protocol: Parse takes one command and no parameters.

// prepared is a parsed command; empty holds none.
type prepared struct {
	cmd   Command
	empty bool
	size  int // bytes of its name and text
}

// portal is a bound command and, once it has run, its rows.
type portal struct {
	prepared
	cols []pgwire.Column // with the formats that Bind asked for
	ran  bool
	rows []row
	tag  string
}

// maxNamed bounds the statements and the portals of one client.
const maxNamed = 1000

func violation(text string) error {
	return &pgwire.Error{Severity: pgwire.Err, Code: pgwire.ProtocolViolation, Message: text, Slug: "protocol"}
}

// cstring takes a string and its terminator off the front of b.
func cstring(b []byte) (s string, rest []byte, ok bool) {
	i := slices.Index(b, 0)
	if i < 0 {
		return "", nil, false
	}
	return string(b[:i]), b[i+1:], true
}

// extended answers a message of the extended protocol. Its errors are followed by a skip to Sync.
func (c *Console) extended(ctx context.Context, typ byte, body []byte) error {
	switch typ {
	case pgwire.MsgParse:
		return c.parse(body)
	case pgwire.MsgBind:
		return c.bind(body)
	case pgwire.MsgDescribe:
		return c.describe(body)
	case pgwire.MsgExecute:
		return c.execute(ctx, body)
	case pgwire.MsgClose:
		return c.close(body)
	case pgwire.MsgCopyData, pgwire.MsgCopyDone, pgwire.MsgCopyFail:
		return nil // left over from a COPY that never was
	}
	return &pgwire.Error{Severity: pgwire.Err, Code: pgwire.FeatureNotSupported, Message: "function calls are not supported by the console"}
}

func (c *Console) parse(body []byte) error {
	name, rest, ok := cstring(body)
	sql, rest, ok2 := cstring(rest)
	if !ok || !ok2 || len(rest) < 2 {
		return violation("invalid Parse message")
	}
	if binary.BigEndian.Uint16(rest) > 0 {
		return &pgwire.Error{Severity: pgwire.Err, Code: pgwire.FeatureNotSupported, Message: "commands of the console take no parameters"}
	}
	list, err := parseAll(sql)
	if err != nil {
		return err
	}
	if len(list) > 1 {
		return syntaxError("cannot insert multiple commands into a prepared statement")
	}
	if _, taken := c.statements[name]; taken && name != "" {
		return &pgwire.Error{Severity: pgwire.Err, Code: pgwire.DuplicatePreparedStatement, Message: fmt.Sprintf("prepared statement \"%s\" already exists", name)}
	}
	st := prepared{empty: len(list) == 0, size: len(name) + len(sql)}
	if len(c.statements) >= maxNamed || c.stored+st.size > maxStored {
		return &pgwire.Error{Severity: pgwire.Err, Code: pgwire.ProgramLimitExceeded, Message: "too many prepared statements"}
	}
	c.stored += st.size - c.statements[name].size
	if !st.empty {
		st.cmd = list[0]
	}
	c.statements[name] = st
	c.out = pgwire.AppendEmpty(c.out, pgwire.MsgParseComplete)
	return nil
}

func (c *Console) statement(name string) (prepared, error) {
	st, ok := c.statements[name]
	if !ok {
		return st, &pgwire.Error{Severity: pgwire.Err, Code: pgwire.InvalidSQLStatementName, Message: fmt.Sprintf("prepared statement \"%s\" does not exist", name)}
	}
	return st, nil
}

func (c *Console) portal(name string) (*portal, error) {
	p, ok := c.portals[name]
	if !ok {
		return nil, &pgwire.Error{Severity: pgwire.Err, Code: pgwire.InvalidCursorName, Message: fmt.Sprintf("portal \"%s\" does not exist", name)}
	}
	return p, nil
}

// shorts takes a counted list of 16-bit numbers off the front of b.
func shorts(b []byte) (list []int16, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; len(b) < 2*n {
		return nil, nil, false
	}
	for i := range n {
		list = append(list, int16(binary.BigEndian.Uint16(b[2*i:])))
	}
	return list, b[2*n:], true
}

func (c *Console) bind(body []byte) error {
	name, rest, ok := cstring(body)
	from, rest, ok2 := cstring(rest)
	if !ok || !ok2 {
		return violation("invalid Bind message")
	}
	_, rest, ok = shorts(rest)
	if !ok || len(rest) < 2 {
		return violation("invalid Bind message")
	}
	if n := binary.BigEndian.Uint16(rest); n > 0 {
		return violation(fmt.Sprintf("bind message supplies %d parameters, but prepared statement \"%s\" requires 0", n, from))
	}
	formats, _, ok := shorts(rest[2:])
	if !ok {
		return violation("invalid Bind message")
	}
	st, err := c.statement(from)
	if err != nil {
		return err
	}
	if len(c.portals) >= maxNamed || c.stored+len(name) > maxStored {
		return &pgwire.Error{Severity: pgwire.Err, Code: pgwire.ProgramLimitExceeded, Message: "too many portals"}
	}
	p := &portal{prepared: st, cols: slices.Clone(st.cmd.Columns())}
	if len(formats) > 1 && len(formats) != len(p.cols) {
		return violation(fmt.Sprintf("bind message has %d result formats but query has %d columns", len(formats), len(p.cols)))
	}
	for i := range p.cols {
		switch {
		case len(formats) == 1:
			p.cols[i].Format = formats[0]
		case len(formats) > 1:
			p.cols[i].Format = formats[i]
		}
		if f := p.cols[i].Format; f != 0 && f != 1 {
			return violation(fmt.Sprintf("unsupported format code: %d", f))
		}
	}
	c.closePortal(name)
	c.portals[name], c.stored = p, c.stored+len(name)
	c.out = pgwire.AppendEmpty(c.out, pgwire.MsgBindComplete)
	return nil
}

func (c *Console) describe(body []byte) error {
	if len(body) < 2 {
		return violation("invalid Describe message")
	}
	name, _, ok := cstring(body[1:])
	if !ok {
		return violation("invalid Describe message")
	}
	var cols []pgwire.Column
	if body[0] == 'S' {
		st, err := c.statement(name)
		if err != nil {
			return err
		}
		c.out = append(c.out, pgwire.MsgParameterDescription, 0, 0, 0, 6, 0, 0)
		cols = st.cmd.Columns()
	} else {
		p, err := c.portal(name)
		if err != nil {
			return err
		}
		cols = p.cols
	}
	if cols == nil {
		c.out = pgwire.AppendEmpty(c.out, pgwire.MsgNoData)
		return nil
	}
	c.out = pgwire.AppendRowDescription(c.out, cols)
	return nil
}

func (c *Console) execute(ctx context.Context, body []byte) error {
	name, rest, ok := cstring(body)
	if !ok || len(rest) != 4 {
		return violation("invalid Execute message")
	}
	p, err := c.portal(name)
	if err != nil {
		return err
	}
	if p.empty {
		c.out = pgwire.AppendEmpty(c.out, pgwire.MsgEmptyQueryResponse)
		return nil
	}
	c.held -= len(p.rows)
	if !p.ran {
		if p.rows, p.tag, err = c.run(ctx, p.cmd); err != nil {
			return err
		}
		p.ran = true
	}
	n := len(p.rows)
	if limit := int(int32(binary.BigEndian.Uint32(rest))); limit > 0 {
		n = min(n, limit)
	}
	if c.held+len(p.rows)-n > maxHeld {
		p.rows = nil
		return &pgwire.Error{Severity: pgwire.Err, Code: pgwire.ProgramLimitExceeded, Message: "too many rows in suspended portals"}
	}
	c.rows(p.rows[:n], p.cols)
	p.rows = p.rows[n:]
	c.held += len(p.rows)
	if len(p.rows) > 0 {
		c.out = pgwire.AppendEmpty(c.out, pgwire.MsgPortalSuspended)
		return nil
	}
	c.out = pgwire.AppendCommandComplete(c.out, p.tag)
	return nil
}

func (c *Console) close(body []byte) error {
	if len(body) < 2 || !strings.ContainsRune("SP", rune(body[0])) {
		return violation("invalid Close message")
	}
	name, _, ok := cstring(body[1:])
	if !ok {
		return violation("invalid Close message")
	}
	if body[0] == 'S' {
		c.closeStatement(name)
	} else {
		c.closePortal(name)
	}
	c.out = pgwire.AppendEmpty(c.out, pgwire.MsgCloseComplete)
	return nil
}

// closeStatement forgets a statement, if there is one of that name.
func (c *Console) closeStatement(name string) {
	c.stored -= c.statements[name].size
	delete(c.statements, name)
}

// deallocate is DEALLOCATE, which psycopg 3 sends, and DISCARD, which means all. It returns the tag.
func (c *Console) deallocate(cmd Command) (string, error) {
	if cmd.Name != "" {
		if _, err := c.statement(cmd.Name); err != nil {
			return "", err
		}
		c.closeStatement(cmd.Name)
		return "DEALLOCATE", nil
	}
	for name := range c.statements {
		c.closeStatement(name)
	}
	if cmd.Verb == "DISCARD" {
		return cmd.tag(), nil
	}
	return "DEALLOCATE ALL", nil
}

// closePortal forgets a portal, if there is one of that name.
func (c *Console) closePortal(name string) {
	if p := c.portals[name]; p != nil {
		c.stored, c.held = c.stored-len(name), c.held-len(p.rows)
		delete(c.portals, name)
	}
}

func (c *Console) closePortals() {
	for name := range c.portals {
		c.closePortal(name)
	}
}
