package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

func newTopCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the sessions and pools of a running broker",
		Long: `Top shows sessions and pools of a running broker and refreshes them.

Keys: s next column to sort by, r reverse, p pools or sessions, / filter (Enter ends it,
an empty one shows all), space refresh, q quit. When the broker stops, top waits for the
next one. Without a terminal, or with TERM=dumb, it prints once.`,
		Args: noArgs,
	}
	flags := addConsoleFlags(cmd)
	cmd.Flags().Lookup("json").Hidden = true
	every := cmd.Flags().Duration("interval", 2*time.Second, "time between two looks")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *every < 100*time.Millisecond {
			return &exitError{code: exitUsage, err: errors.New("--interval is at least 100ms")}
		}
		return withConsole(cmd, flags, func(ctx context.Context, c *consoleConn) error {
			out := cmd.OutOrStdout()
			in, ok := cmd.InOrStdin().(*os.File)
			screen, isFile := out.(*os.File)
			if term := os.Getenv("TERM"); !ok || !isFile || !isTerminal(in) || !isTerminal(screen) || term == "dumb" {
				return watchOnce(ctx, c, out)
			}
			return newTopWatch(*flags, screen, *every).run(ctx, c, in)
		})
	}
	return cmd
}

// topView is what the user has chosen to see.
type topView struct {
	pools   bool
	sort    int // column of the table shown
	reverse bool
	filter  string
	typing  bool
}

// topColumns are the columns shown, what matters most in front: a narrow terminal cuts the others. Those of
// sessions get the rate of statements behind their state.
var topColumns = map[bool][]string{
	false: {"id", "state", "role", "database", "cert_subject", "map", "app", "addr", "pin", "statements", "bytes_in", "bytes_out"},
	true:  {"database", "user", "cl_active", "cl_waiting", "sv_active", "sv_idle", "sv_login", "maxwait", "maxwait_us", "pool_mode"},
}

// look reads one of the two tables; before is the last look, for the rate of statements.
func (v *topView) look(ctx context.Context, c *consoleConn, before *topLook, now time.Time) (*topLook, error) {
	sql := "SHOW SESSIONS"
	if v.pools {
		sql = "SHOW POOLS"
	}
	t, err := c.query(ctx, sql)
	if err != nil {
		return nil, err
	}
	l := &topLook{at: now, pools: v.pools, table: t.only(topColumns[v.pools]), statements: make(map[string]int64)}
	if !v.pools {
		l.rates(before)
	}
	return l, nil
}

// topLook is one look at the broker.
type topLook struct {
	at         time.Time
	pools      bool
	table      *consoleTable
	statements map[string]int64 // by session
}

// rates adds the column of statements per second since the look before.
func (l *topLook) rates(before *topLook) {
	id, n := slices.Index(l.table.Columns, "id"), slices.Index(l.table.Columns, "statements")
	at := slices.Index(l.table.Columns, "state") + 1
	l.table.Columns, l.table.Numeric = slices.Insert(l.table.Columns, at, "stmt/s"), slices.Insert(l.table.Numeric, at, true)
	for i, row := range l.table.Rows {
		count, _ := strconv.ParseInt(row[n].Text, 10, 64)
		l.statements[row[id].Text] = count
		rate := "0"
		if before != nil {
			if old, known := before.statements[row[id].Text]; known && l.at.After(before.at) {
				rate = strconv.FormatFloat(float64(count-old)/l.at.Sub(before.at).Seconds(), 'f', 0, 64)
			}
		}
		l.table.Rows[i] = slices.Insert(row, at, consoleValue{Text: rate})
	}
}

// topKeys stands below the first line.
const topKeys = "s sort  r reverse  p sessions/pools  / filter  q quit"

// frame draws a look: a line on top, the keys, then as much of the table as fits. A trouble stands in the place of
// the keys. A width or height of 0 has no bound and needs no keys.
func (v *topView) frame(l *topLook, trouble string, width, height int) ([]byte, error) {
	t := &consoleTable{Columns: slices.Clone(l.table.Columns), Numeric: l.table.Numeric}
	for _, row := range l.table.Rows {
		if v.filter == "" || slices.ContainsFunc(row, func(c consoleValue) bool { return strings.Contains(c.Text, v.filter) }) {
			t.Rows = append(t.Rows, row)
		}
	}
	by := v.sort % len(t.Columns)
	slices.SortStableFunc(t.Rows, func(a, b []consoleValue) int {
		order := cmp.Compare(a[by].Text, b[by].Text)
		if t.Numeric[by] {
			x, _ := strconv.ParseFloat(a[by].Text, 64)
			y, _ := strconv.ParseFloat(b[by].Text, 64)
			order = -cmp.Compare(x, y) // the largest first
		}
		if v.reverse {
			order = -order
		}
		return order
	})
	t.Columns[by] += "*"
	total := len(t.Rows)
	if height > 0 {
		t.Rows = t.Rows[:min(total, max(height-3, 0))]
	}
	what := map[bool]string{false: "sessions", true: "pools"}[v.pools]
	head := fmt.Sprintf("pgsignet  %s  %d %s", l.at.Format(time.TimeOnly), total, what)
	if v.filter != "" || v.typing {
		head += "  /" + v.filter
	}
	if height > 0 && trouble == "" {
		trouble = topKeys
	}
	var b bytes.Buffer
	for _, line := range []string{head, trouble} {
		if line = printable(line); width > 0 {
			line = fitText(line, width)
		}
		b.WriteString(line + "\n")
	}
	err := t.writeText(&b, width)
	return b.Bytes(), err
}

// key applies a key; quit ends the watch.
func (v *topView) key(k byte) (quit bool) {
	switch {
	case k == 3: // Ctrl-C
		return true
	case v.typing && (k == '\r' || k == '\n'):
		v.typing = false
	case v.typing && (k == 127 || k == 8):
		_, last := utf8.DecodeLastRuneInString(v.filter)
		v.filter = v.filter[:len(v.filter)-last]
	case v.typing && k >= ' ':
		v.filter += string([]byte{k}) // a byte of a character
	case v.typing:
	case k == 'q':
		return true
	case k == 's':
		v.sort++
	case k == 'r':
		v.reverse = !v.reverse
	case k == 'p':
		v.pools, v.sort = !v.pools, 0
	case k == '/':
		v.typing, v.filter = true, ""
	}
	return false
}

// watchOnce prints sessions and pools.
func watchOnce(ctx context.Context, c *consoleConn, out io.Writer) error {
	for _, pools := range []bool{false, true} {
		v := topView{pools: pools}
		l, err := v.look(ctx, c, nil, time.Now())
		if err != nil {
			return err
		}
		text, err := v.frame(l, "", 0, 0)
		if err != nil {
			return err
		}
		if _, err := out.Write(append(text, '\n')); err != nil {
			return err
		}
	}
	return nil
}
