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
	"golang.org/x/sys/unix"
)

func newTopCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the sessions and pools of a running broker",
		Long: `Top shows sessions and pools of a running broker and refreshes them.

Keys: s next column to sort by, r reverse, p pools or sessions, / filter (Enter ends it,
an empty one shows all), space refresh, q quit. Without a terminal it prints once.`,
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
			if !ok || !isFile || !isTerminal(in) || !isTerminal(screen) {
				return watchOnce(ctx, c, out)
			}
			return watch(ctx, c, in, out, *every)
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
	l := &topLook{at: now, table: t.only(topColumns[v.pools]), statements: make(map[string]int64)}
	if !v.pools {
		l.rates(before)
	}
	return l, nil
}

// topLook is one look at the broker.
type topLook struct {
	at         time.Time
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

// frame draws a look: a line on top, then as much of the table as fits.
func (v *topView) frame(l *topLook, width, height int) ([]byte, error) {
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
	if height > 3 && total > height-3 {
		t.Rows = t.Rows[:height-3]
	}
	what := map[bool]string{false: "sessions", true: "pools"}[v.pools]
	head := fmt.Sprintf("pgsignet  %s  %d %s", l.at.Format(time.TimeOnly), total, what)
	if v.filter != "" || v.typing {
		head += "  /" + v.filter
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\n", printable(head))
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
		text, err := v.frame(l, 0, 0)
		if err != nil {
			return err
		}
		if _, err := out.Write(append(text, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// watch draws until the user quits or ctx ends. The terminal is left as it was found. A read of the
// keyboard waits for the interval at most: it is the clock, too.
func watch(ctx context.Context, c *consoleConn, in *os.File, out io.Writer, every time.Duration) (err error) {
	fd := int(in.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	raw := *old
	raw.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 0, uint8(min(every/(100*time.Millisecond), 255))
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &raw); err != nil {
		return err
	}
	defer func() {
		fmt.Fprint(out, "\x1b[?25h\x1b[?1049l")
		err = errors.Join(err, unix.IoctlSetTermios(fd, unix.TCSETS, old))
	}()
	fmt.Fprint(out, "\x1b[?1049h\x1b[?25l") // another screen, no cursor
	v := &topView{}
	var last *topLook
	for key := make([]byte, 1); ctx.Err() == nil; {
		look, err := v.look(ctx, c, last, time.Now())
		if err != nil {
			return err
		}
		last = look
		if err := draw(v, look, out); err != nil {
			return err
		}
		n, err := unix.Read(fd, key)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if n == 1 && v.key(key[0]) {
			return nil
		}
	}
	return nil
}

func draw(v *topView, l *topLook, out io.Writer) error {
	width, height := 80, 24
	if f, ok := out.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			width, height = int(size.Col), int(size.Row)
		}
	}
	text, err := v.frame(l, width, height)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\x1b[H\x1b[2J%s", bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")))
	return err
}
