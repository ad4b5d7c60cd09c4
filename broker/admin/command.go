package admin

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Command is one command of the console.
type Command struct {
	Verb   string        // in upper case: SHOW, PAUSE, "LOCK CERT", …; "" is an empty command
	Name   string        // what is shown or set; the database, client id, session or mode; "" is none
	Target Target        // of LOCK, UNLOCK and KILL CERT
	For    time.Duration // of LOCK; 0: for good
	Reason string        // of LOCK
}

// Target is the certificates that a lock or a kill means.
type Target struct {
	Kind   string `json:"kind"`             // sha256, spki, serial, dn, spiffe
	Value  string `json:"value"`            // hashes and serials in lower-case hex
	Issuer string `json:"issuer,omitempty"` // of a serial
}

// String is the target as a command writes it.
func (t Target) String() string {
	s := strings.ToUpper(t.Kind) + " '" + t.Value + "'"
	if t.Issuer != "" {
		s += " ISSUER '" + t.Issuer + "'"
	}
	return s
}

// Args are the command's arguments for the record.
func (c Command) Args() []string {
	var args []string
	if c.Name != "" {
		args = append(args, c.Name)
	}
	if c.Target.Kind != "" {
		args = append(args, c.Target.String())
	}
	if c.For > 0 {
		args = append(args, "FOR "+c.For.String())
	}
	if c.Reason != "" {
		args = append(args, "REASON "+c.Reason)
	}
	return args
}

// harmless are the verbs that any viewer may use and that change nothing.
func (c Command) harmless() bool {
	switch c.Verb {
	case "", "SHOW", "SET", "BEGIN", "START TRANSACTION", "COMMIT", "END", "ROLLBACK", "ABORT", "DISCARD", "RESET", "DEALLOCATE":
		return true
	}
	return false
}

// waits says whether the command may take as long as clients like.
func (c Command) waits() bool { return c.Verb == "PAUSE" || c.Verb == "WAIT_CLOSE" }

// tag is the command tag without a count.
func (c Command) tag() string {
	word, _, _ := strings.Cut(c.Verb, " ")
	if c.Verb == "START TRANSACTION" {
		return c.Verb
	}
	return word
}

// arguments says what follows a verb: 0 nothing, '?' a name or nothing, '1' a name, '*' anything.
var arguments = map[string]byte{
	"BEGIN": '*', "COMMIT": '*', "END": '*', "ROLLBACK": '*', "ABORT": '*', "DISCARD": '*', "RESET": '*', "START": '*',
	"PAUSE": '?', "RESUME": '?', "RECONNECT": '?', "WAIT_CLOSE": '?', "SHUTDOWN": '?', "KILL": '?',
	"DISABLE": '1', "ENABLE": '1', "KILL_CLIENT": '1', "RELOAD": 0, "SUSPEND": 0,
}

// parseAll reads a text of commands.
func parseAll(sql string) ([]Command, error) {
	lists, err := lex(sql)
	if err != nil {
		return nil, err
	}
	list := make([]Command, len(lists))
	for i, tokens := range lists {
		p := parser{sql: sql, rest: tokens}
		if list[i], err = p.command(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// parser reads one command.
type parser struct {
	sql  string
	rest []token
}

func (p *parser) invalid() error {
	return syntaxError(fmt.Sprintf("invalid command '%s', use SHOW HELP;", strings.TrimSpace(p.sql)))
}

// word takes the next token if it is one of these bare words, and returns it in upper case.
func (p *parser) word(words ...string) string {
	if len(p.rest) > 0 && p.rest[0].kind == 'w' {
		for _, w := range words {
			if strings.EqualFold(p.rest[0].text, w) {
				p.rest = p.rest[1:]
				return w
			}
		}
	}
	return ""
}

// take returns the next token if it is of one of the kinds.
func (p *parser) take(kinds string) (string, bool) {
	if len(p.rest) == 0 || strings.IndexByte(kinds, p.rest[0].kind) < 0 {
		return "", false
	}
	text := p.rest[0].text
	p.rest = p.rest[1:]
	return text, true
}

func (p *parser) command() (Command, error) {
	first, ok := p.take("w")
	if !ok {
		return Command{}, p.invalid()
	}
	verb := strings.ToUpper(first)
	switch verb {
	case "SHOW", "SELECT":
		return p.show()
	case "SET":
		return p.set()
	case "DEALLOCATE":
		return p.deallocate()
	case "LOCK", "UNLOCK":
		if p.word("CERT") == "" {
			return Command{}, p.invalid()
		}
		return p.lock(verb + " CERT")
	case "KILL":
		if len(p.rest) > 1 {
			switch p.word("CERT", "SESSION") {
			case "CERT":
				return p.lock("KILL CERT")
			case "SESSION":
				return p.end(Command{Verb: "KILL SESSION"}, '1')
			}
		}
	}
	takes, known := arguments[verb]
	if !known {
		return Command{}, p.invalid()
	}
	if verb == "START" {
		verb = "START TRANSACTION"
	}
	return p.end(Command{Verb: verb}, takes)
}

// end reads what may follow the verb, and nothing else.
func (p *parser) end(c Command, takes byte) (Command, error) {
	if takes == '*' {
		return c, nil
	}
	if takes != 0 {
		name, ok := p.take("wqs")
		switch {
		case ok || takes == '?':
		case c.Verb == "DISABLE" || c.Verb == "ENABLE":
			return c, syntaxError("a database is required")
		default:
			return c, p.invalid()
		}
		c.Name = name
	}
	if len(p.rest) > 0 {
		return c, p.invalid()
	}
	switch c.Verb {
	case "KILL_CLIENT":
		if _, err := strconv.ParseInt(c.Name, 10, 32); err != nil {
			return c, p.invalid()
		}
	case "SHUTDOWN":
		c.Name = strings.ToUpper(c.Name)
		if c.Name != "" && c.Name != "WAIT_FOR_SERVERS" && c.Name != "WAIT_FOR_CLIENTS" {
			return c, p.invalid()
		}
	}
	return c, nil
}

func (p *parser) show() (Command, error) {
	name, ok := p.take("wq")
	c := Command{Verb: "SHOW", Name: strings.ToLower(name)}
	if !ok || len(p.rest) > 0 {
		return c, p.invalid()
	}
	if c.Name == "fds" {
		return c, &pgwire.Error{Severity: pgwire.Err, Code: pgwire.FeatureNotSupported, Message: "SHOW FDS is not supported"}
	}
	if c.Columns() == nil && c.Name != "help" {
		return c, p.invalid()
	}
	return c, nil
}

// set reads SET name = value or TO value; the value does not matter.
func (p *parser) set() (Command, error) {
	p.word("SESSION", "LOCAL")
	name, ok := p.take("wq")
	if !ok || len(p.rest) == 0 {
		return Command{}, p.invalid()
	}
	return Command{Verb: "SET", Name: strings.ToLower(name)}, nil
}

// deallocate reads DEALLOCATE [PREPARE] name or ALL; no Name is ALL.
func (p *parser) deallocate() (Command, error) {
	if len(p.rest) > 1 {
		p.word("PREPARE")
	}
	c := Command{Verb: "DEALLOCATE"}
	if p.word("ALL") == "" {
		bare := len(p.rest) > 0 && p.rest[0].kind == 'w'
		name, ok := p.take("wq")
		if !ok || name == "" {
			return c, p.invalid()
		}
		if c.Name = name; bare {
			c.Name = strings.ToLower(name)
		}
	}
	return p.end(c, 0)
}

func (p *parser) lock(verb string) (c Command, err error) {
	c.Verb = verb
	kind := p.word("SHA256", "SPKI", "SERIAL", "DN", "SPIFFE")
	value, ok := p.take("s")
	if kind == "" || !ok || value == "" {
		return c, p.invalid()
	}
	c.Target = Target{Kind: strings.ToLower(kind), Value: value}
	if kind == "SERIAL" {
		if p.word("ISSUER") == "" {
			return c, p.invalid()
		}
		if c.Target.Issuer, ok = p.take("s"); !ok {
			return c, p.invalid()
		}
	}
	if err := c.Target.normalize(); err != nil {
		return c, err
	}
	if verb == "LOCK CERT" {
		if p.word("FOR") != "" {
			text, _ := p.take("s")
			if c.For, err = interval(text); err != nil {
				return c, err
			}
		}
		if p.word("REASON") != "" {
			if c.Reason, ok = p.take("s"); !ok || len(c.Reason) > 1<<10 {
				return c, p.invalid()
			}
		}
	}
	if len(p.rest) > 0 {
		return c, p.invalid()
	}
	return c, nil
}

// normalize writes hashes and serials as `match` does: lower-case hex without colons or, in a serial,
// leading zeros.
func (t *Target) normalize() error {
	size := 64
	switch t.Kind {
	case "dn", "spiffe":
		return nil
	case "serial":
		size = 0
	}
	v := strings.ToLower(strings.ReplaceAll(t.Value, ":", ""))
	if strings.Trim(v, "0123456789abcdef") != "" || v == "" || size > 0 && len(v) != size {
		return &pgwire.Error{Severity: pgwire.Err, Code: pgwire.InvalidParameterValue,
			Message: fmt.Sprintf("%s must be hexadecimal digits, %s", strings.ToUpper(t.Kind), map[bool]string{true: "64 of them", false: "as openssl x509 -serial prints them"}[size > 0])}
	}
	if t.Kind == "serial" {
		if v = strings.TrimLeft(v, "0"); v == "" {
			v = "0"
		}
	}
	t.Value = v
	return nil
}

// units of an interval, beside those of Go's durations.
var units = map[string]time.Duration{
	"second": time.Second, "sec": time.Second, "minute": time.Minute, "min": time.Minute, "hour": time.Hour,
	"day": 24 * time.Hour, "week": 7 * 24 * time.Hour, "month": 30 * 24 * time.Hour, "year": 365 * 24 * time.Hour,
}

// interval reads "90m", "2 hours" or "1 day 12 hours".
func interval(text string) (time.Duration, error) {
	bad := &pgwire.Error{Severity: pgwire.Err, Code: pgwire.InvalidParameterValue, Message: "invalid interval: '" + text + "'"}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return d, nil
	}
	words := strings.Fields(text)
	if len(words) == 0 || len(words)%2 != 0 {
		return 0, bad
	}
	var sum time.Duration
	for i := 0; i < len(words); i += 2 {
		n, err := strconv.ParseInt(words[i], 10, 32)
		unit := units[strings.TrimSuffix(strings.ToLower(words[i+1]), "s")]
		if err != nil || n <= 0 || unit == 0 || n > int64(100*365*24*time.Hour/unit) {
			return 0, bad
		}
		sum += time.Duration(n) * unit
	}
	return sum, nil
}
