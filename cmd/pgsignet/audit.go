package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsignet/pgsignet/broker/audit"
)

func newAuditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Read the record of access: verify, search, report, tail, prune",
		Long: `Audit reads the record that serve writes: one JSON line per login, refusal and
statement, chained and signed. DIR is the audit directory or a copy of it; without DIR
it is the one of the configuration.`,
	}
	cmd.AddCommand(newAuditVerifyCommand(), newAuditSearchCommand(), newAuditReportCommand(), newAuditTailCommand(), newAuditPruneCommand())
	return cmd
}

// auditDir is the directory a command reads: its argument, else the configuration's.
func auditDir(cmd *cobra.Command, flags *configFlags, args []string) (string, error) {
	if len(args) > 0 {
		if st, err := os.Stat(args[0]); err != nil || !st.IsDir() {
			return "", &exitError{code: exitUsage, err: fmt.Errorf("%s is not a directory", args[0])}
		}
		return args[0], nil
	}
	cfg, err := loadForUse(flags, cmd.ErrOrStderr())
	if err != nil {
		return "", err
	}
	return cfg.Audit.Directory, nil
}

// holdsRecord is an error where dir has no record at all: what finds nothing there would look as if it
// had looked at something.
func holdsRecord(dir string) error {
	held, err := audit.HoldsRecord(dir)
	if err == nil && !held {
		err = fmt.Errorf("%s holds no audit record: name the directory of the audit block, or a copy of it", dir)
	}
	return err
}

// whenFormats are the forms of a time on the command line; without a zone it is UTC.
var whenFormats = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly}

// parseWhen reads a time, or how long before now it was: 90s, 2h, 7d.
func parseWhen(s string, now time.Time) (time.Time, error) {
	for _, f := range whenFormats {
		if t, err := time.Parse(f, s); err == nil {
			return t, nil
		}
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("time %q: write 2026-11-22, 2026-11-22T09:14:07Z, or how long ago: 2h, 7d", s)
}

// whenFlag is a pflag.Value for parseWhen.
type whenFlag struct {
	time time.Time
	text string
}

func (w *whenFlag) String() string { return w.text }
func (w *whenFlag) Type() string   { return "TIME" }
func (w *whenFlag) Set(s string) (err error) {
	w.text = s
	w.time, err = parseWhen(s, time.Now())
	return err
}

// queryFlags are the conditions that search, report and tail share.
type queryFlags struct {
	query        audit.Query
	since, until whenFlag
}

// eventParts are the first parts of the events' names.
var eventParts = []string{"session", "statement", "copy", "cancel", "admin", "config", "trust", "mint", "checkpoint", "pruned"}

func addQueryFlags(cmd *cobra.Command, config *configFlags) *queryFlags {
	f := &queryFlags{}
	flags := cmd.Flags()
	flags.Var(&f.since, "since", "from this time on: 2026-11-22, 2026-11-22T09:14:07Z, or how long ago: 2h, 7d")
	flags.Var(&f.until, "until", "before this time")
	for _, text := range []struct {
		into        *string
		name, usage string
	}{
		{&f.query.Event, "event", "event, or its first part: " + strings.Join(eventParts, ", ")},
		{&f.query.SID, "sid", "session: the reference a refused client sees, or its beginning"},
		{&f.query.Cert, "cert", "SHA-256 of the certificate, or its beginning"},
		{&f.query.Serial, "serial", "serial number of the certificate, hex"},
		{&f.query.CN, "cn", "common name"},
		{&f.query.Email, "email", "e-mail address in the certificate"},
		{&f.query.SPIFFE, "spiffe", "SPIFFE ID"},
		{&f.query.Client, "client", "client address or CIDR"},
		{&f.query.Role, "role", "role logged in as, or asked for when refused"},
		{&f.query.Database, "database", "database"},
		{&f.query.Map, "map", "map, or deny, that decided"},
		{&f.query.SQLState, "sqlstate", "SQLSTATE, or its class: 42501, 42"},
		{&f.query.Text, "text", "part of the statement; case does not count"},
	} {
		flags.StringVar(text.into, text.name, "", text.usage)
	}
	completeFlag(cmd, "event", eventParts...)
	completeNames(cmd, config, "database", databasesNamed)
	completeNames(cmd, config, "map", ruleNames)
	return f
}

func (f *queryFlags) read() audit.Query {
	q := f.query
	q.Since, q.Until = f.since.time, f.until.time
	return q
}

// progress draws a bar on a terminal while a directory is read. Elsewhere it is silent.
type progress struct {
	w           io.Writer
	width       int
	total, done int64
	drawn       time.Time
	shown       bool
}

// drawEvery keeps a bar from costing more than the work.
const drawEvery = 100 * time.Millisecond

func newProgress(w io.Writer, dir string) *progress {
	width, _ := terminal(w)
	p := &progress{w: w, width: int(width)}
	if width > 0 {
		p.total, _ = audit.Size(dir)
	}
	return p
}

// add counts bytes that were read.
func (p *progress) add(n int64) {
	p.done += n
	if p.width == 0 || p.total == 0 || time.Since(p.drawn) < drawEvery {
		return
	}
	p.drawn, p.shown = time.Now(), true
	fmt.Fprintf(p.w, "\r%s", progressBar(p.done, p.total, p.width))
}

// clear takes the bar off the terminal.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// progressBar is a bar that fits in width characters.
func progressBar(done, total int64, width int) string {
	done = min(done, total)
	text := fmt.Sprintf(" %3d%% of %.1f MB", 100*done/total, float64(total)/1e6)
	cells := min(width-len(text)-3, 50)
	if cells < 5 {
		return text
	}
	full := int(done * int64(cells) / total)
	return "[" + strings.Repeat("#", full) + strings.Repeat(" ", cells-full) + "]" + text
}

// usageError is an error of the command line that cobra could not see.
func usageError(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

var errNoStream = errors.New("no audit stream in it")
