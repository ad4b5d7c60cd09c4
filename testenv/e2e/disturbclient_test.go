package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// unit is a request that ends in one ReadyForQuery.
type unit struct {
	mark   string // in its text, and in every row of its answer
	send   []byte
	shape  []string // types of the messages that answer it, in order; "D*" is any number
	rows   []string // that it writes
	named  string   // the statement that it prepares
	fails  string   // SQLSTATE that it may end in
	sets   string   // work_mem
	begins bool     // it is the BEGIN of a group
	answer string   // the only value of its one row, when not ""
}

// telling is what a client was told of a unit.
type telling struct {
	mark string
	code string // 00000, or the error's
	text bool   // the unit is one text: the record of it has this very outcome
}

// fate is what a client knows of a row that it has asked to write.
type fate uint8

const (
	perhaps fate = iota // it does not know
	committed
	rolledBack
)

// sufferer is a client whose connection is disturbed.
type sufferer struct {
	d      *disturbance
	random *rand.Rand
	number int
	role   string
	config *tls.Config

	logins int
	units  int
	conn   *wireConn
	app    string // of the session
	named  map[string]bool
	memory string   // work_mem as the client has set it
	open   []string // rows of the transaction under way
	status byte

	mu      sync.Mutex
	fates   map[string]fate
	groups  [][]string // rows of one transaction
	answers []telling
	ends    map[string]string // SQLSTATE with which a session, by its application_name, was ended
	codes   map[string]int
}

func (c *sufferer) fault(format string, args ...any) {
	c.d.report("client %d, session %s: %s", c.number, c.app, fmt.Sprintf(format, args...))
}

// run is the client's life: session after session.
func (c *sufferer) run() {
	for !c.d.over() {
		if c.login() {
			c.session()
			c.conn.Close()
		}
	}
}

// loginRefusals are what a login may be refused with while it is disturbed.
// 57014: the administrator cancels whatever runs, what the broker sets a session up with, too.
var loginRefusals = []string{"57P03", "57P01", "08006", "53300", "28000", "57014"}

func (c *sufferer) login() bool {
	c.logins++
	c.app = fmt.Sprintf("d%02ds%d", c.number, c.logins)
	c.named, c.memory, c.status, c.open = map[string]bool{}, "", 'I', nil
	conn, fatal, err := c.dial()
	if fatal != "" {
		c.mu.Lock()
		c.codes["login "+fatal]++
		c.mu.Unlock()
		if !slices.Contains(loginRefusals, fatal) {
			c.fault("login refused with %s", fatal)
		}
		time.Sleep(10 * time.Millisecond)
		return false
	}
	if err != nil {
		c.fault("login: %v", err)
		return false
	}
	c.conn = conn
	return true
}

// dial logs in; fatal is the SQLSTATE of a refusal.
func (c *sufferer) dial() (conn *wireConn, fatal string, err error) {
	raw, err := net.Dial("tcp", c.d.broker.Addr)
	if err != nil {
		return nil, "", err
	}
	raw.SetDeadline(time.Now().Add(patience))
	conn = &wireConn{Conn: tls.Client(raw, c.config)}
	if _, err := raw.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil {
		return nil, "", err
	}
	var answer [1]byte
	if _, err := io.ReadFull(raw, answer[:]); err != nil {
		return nil, "", err
	}
	if _, err := conn.Write(Startup(protocol30, "user", c.role, "database", "orders", "application_name", c.app)); err != nil {
		return nil, "", err
	}
	for {
		m, err := conn.next()
		switch {
		case err != nil:
			raw.Close()
			return nil, "", err
		case m.Type == 'E':
			raw.Close()
			return nil, Field(m, 'C'), nil
		case m.Type == 'K':
			conn.key = m.Body
		case m.Type == 'Z':
			return conn, "", nil
		case !strings.ContainsRune("RSN", rune(m.Type)):
			return nil, "", fmt.Errorf("message %c in a login", m.Type)
		}
	}
}

// session makes requests until the connection ends, or the client likes to.
func (c *sufferer) session() {
	for !c.d.over() {
		switch c.random.IntN(60) {
		case 0:
			c.conn.Write(Msg('X', ""))
			return
		case 1:
			return // without a word
		}
		if c.random.IntN(4) == 0 {
			time.Sleep(time.Duration(c.random.IntN(30)) * time.Millisecond)
		}
		if !c.ask(c.deed()) {
			return
		}
	}
	if c.status == 'I' {
		c.conn.Write(Msg('X', ""))
	}
}

// ask sends units and reads their answers. It says whether the session goes on.
func (c *sufferer) ask(units []unit) bool {
	var all []byte
	for _, u := range units {
		all = append(all, u.send...)
	}
	c.conn.SetDeadline(time.Now().Add(patience))
	_, lost := c.conn.Write(all) // why, the answers tell
	for i, u := range units {
		got, err := c.read(u)
		if err == nil {
			continue
		}
		for _, u := range units[i:] {
			c.settle(u.rows, perhaps)
		}
		c.settle(c.open, perhaps)
		c.ended(u, got, err, lost)
		return false
	}
	return true
}

func (c *sufferer) settle(rows []string, f fate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, row := range rows {
		c.fates[row] = f
	}
}

// errFatal is a connection that ends with a word.
var errFatal = errors.New("FATAL")

// read reads a unit's answer.
func (c *sufferer) read(u unit) (got []Message, err error) {
	code := "00000"
	for {
		m, err := c.conn.next()
		if errors.Is(err, io.EOF) && m.Type != 0 {
			err = io.ErrUnexpectedEOF // behind its header
		}
		if err != nil {
			return got, err
		}
		if m.Type == 'N' || m.Type == 'S' {
			continue
		}
		got = append(got, m)
		if m.Type == 'E' && Field(m, 'S') != "ERROR" {
			return got, errFatal
		}
		if m.Type == 'E' {
			code = Field(m, 'C')
		}
		if m.Type == 'D' || m.Type == 'd' {
			c.looksLikeMine(u, m)
		}
		if m.Type == '1' && u.named != "" {
			c.named[u.named] = true
		}
		if m.Type == 'Z' {
			break
		}
	}
	if !isWhole(u.shape, got) {
		c.fault("%s: answered by %s", u.mark, Types(got))
	}
	c.note(u, code, got)
	return got, nil
}

var foreignMark = regexp.MustCompile(`d\d\du\d+`)

// looksLikeMine makes sure that a row is the unit's own.
func (c *sufferer) looksLikeMine(u unit, m Message) {
	marks := foreignMark.FindAllString(string(m.Body), -1)
	for _, mark := range marks {
		if mark != u.mark {
			c.fault("%s: a row of %s", u.mark, mark)
			return
		}
	}
	if len(marks) == 0 && u.answer == "" {
		c.fault("%s: a row of nobody's: %.80q", u.mark, m.Body)
	}
	if u.answer != "" && string(m.Body[6:]) != u.answer {
		c.fault("%s: %q, want %q", u.mark, m.Body[6:], u.answer)
	}
}

// errorsOf are what a request may fail with that keeps its connection: cancelled, no server connection to be had, or in
// a transaction that one of these has failed.
var errorsOf = []string{"57014", "53300", "08006", "57P03", "25P02"}

// note keeps what a whole answer means.
func (c *sufferer) note(u unit, code string, got []Message) {
	tag := ""
	for _, m := range got {
		if m.Type == 'C' {
			tag = strings.TrimRight(string(m.Body), "\x00")
		}
	}
	if code != "00000" && code != u.fails && !slices.Contains(errorsOf, code) {
		c.fault("%s: error %s", u.mark, ErrorText(got[slices.IndexFunc(got, func(m Message) bool { return m.Type == 'E' })]))
	}
	c.status = got[len(got)-1].Body[0]
	if code == "00000" {
		c.open = append(c.open, u.rows...)
	} else {
		c.settle(u.rows, rolledBack)
	}
	if c.status == 'I' {
		f := committed
		if tag == "ROLLBACK" || code != "00000" {
			f = rolledBack
		}
		c.settle(c.open, f)
		c.open = nil
	}
	if code == "00000" && u.sets != "" {
		c.memory = u.sets
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if u.begins && code != "00000" && len(c.groups) > 0 {
		c.groups = c.groups[:len(c.groups)-1] // they are no transaction
	}
	c.codes[code]++
	c.answers = append(c.answers, telling{mark: u.mark, code: code, text: u.send[0] == 'Q'})
}

// sessionEndings are the words that a session may end with.
var sessionEndings = []string{"57P01", "57P02", "57P03", "08006", "57P05"}

// ended judges the end of a session in the midst of a unit.
func (c *sufferer) ended(u unit, got []Message, err, lost error) {
	fatal := ""
	if errors.Is(err, errFatal) {
		last := got[len(got)-1]
		fatal, got = Field(last, 'C'), got[:len(got)-1]
		if !slices.Contains(sessionEndings, fatal) {
			c.fault("%s: ended by %s", u.mark, ErrorText(last))
		}
		if m, more := c.conn.next(); more == nil { // one, where the server and the broker end it at once, too
			c.fault("%s: %c %s behind %s", u.mark, m.Type, ErrorText(m), ErrorText(last))
		} else if errors.Is(more, os.ErrDeadlineExceeded) {
			c.fault("%s: %s, and the connection stays", u.mark, fatal)
		}
	}
	c.mu.Lock()
	c.ends[c.app] = fatal
	c.codes["end "+fatal]++
	c.mu.Unlock()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.fault("%s: no answer within %v behind %s\n%s", u.mark, patience, Types(got), c.d.state())
	case !isPrefix(u.shape, got):
		c.fault("%s: answered by %s and then ended: %v", u.mark, Types(got), err)
	case fatal == "" && !(u.large() && errors.Is(err, io.ErrUnexpectedEOF)) && !errors.Is(err, syscall.ECONNRESET):
		c.fault("%s: ended without a word behind %s: %v, %v", u.mark, Types(got), err, lost)
	}
}

// large says whether the answer has messages that the end of a server connection may cut in two: there is no place
// for a word then.
func (u unit) large() bool { return len(u.send) > 0 && strings.Contains(string(u.send), "repeat(") }

// typesOf is what the shapes are written in.
func typesOf(got []Message) string {
	var b strings.Builder
	for _, m := range got {
		b.WriteByte(m.Type)
	}
	return b.String()
}

// isWhole says whether messages are a whole answer of that shape, or the beginning of one and an error.
func isWhole(shape []string, got []Message) bool {
	types := typesOf(got)
	failed := regexp.MustCompile("^" + beginning(shape[:len(shape)-1]) + "EZ$")
	return regexp.MustCompile("^"+strings.Join(shape, "")+"$").MatchString(types) || failed.MatchString(types)
}

// isPrefix says whether messages are the beginning of an answer.
func isPrefix(shape []string, got []Message) bool {
	return regexp.MustCompile("^" + beginning(shape) + "E?$").MatchString(typesOf(got))
}

// beginning matches every beginning of a shape.
func beginning(shape []string) string {
	pattern := ""
	for _, s := range slices.Backward(shape) {
		pattern = "(" + s + pattern + ")?"
	}
	return pattern
}
