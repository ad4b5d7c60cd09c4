package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// This file holds the commands that steer a running broker through its console.

func newSessionsCommand() *cobra.Command {
	return showCommand("sessions", "List the sessions of a running broker", "SHOW SESSIONS",
		[]string{"id", "sid", "state", "role", "database", "map", "cert_subject", "addr", "app", "server_pid", "statements", "connect_time"})
}

func newPoolsCommand() *cobra.Command {
	return showCommand("pools", "List the pools of a running broker", "SHOW POOLS",
		[]string{"database", "user", "cl_active", "cl_waiting", "sv_active", "sv_idle", "sv_login", "maxwait", "pool_mode"})
}

// showCommand prints the answer to a SHOW: these columns as a table, all of them as JSON or with --wide.
func showCommand(name, short, sql string, narrow []string) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Args: noArgs,
		Long: short + ".\n\nThe broker is asked on its admin socket, or with --dsn by certificate."}
	flags := addConsoleFlags(cmd)
	wide := cmd.Flags().Bool("wide", false, "print every column")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withConsole(cmd, flags, func(ctx context.Context, c *consoleConn) error {
			t, err := c.query(ctx, sql)
			if err != nil {
				return err
			}
			if flags.json {
				return t.writeJSON(cmd.OutOrStdout())
			}
			if !*wide {
				t = t.only(narrow)
			}
			width, _ := terminal(cmd.OutOrStdout())
			return t.writeText(cmd.OutOrStdout(), int(width))
		})
	}
	return cmd
}

// targetFlags name certificates.
type targetFlags struct{ sha256, spki, serial, issuer, dn, spiffe string }

func addTargetFlags(c *cobra.Command) *targetFlags {
	t := &targetFlags{}
	c.Flags().StringVar(&t.sha256, "sha256", "", "the certificate with this fingerprint, in `HEX`")
	c.Flags().StringVar(&t.spki, "spki", "", "every certificate with the public key of this SHA-256, in `HEX`")
	c.Flags().StringVar(&t.serial, "serial", "", "the certificate with this serial number, in `HEX`; needs --issuer")
	c.Flags().StringVar(&t.issuer, "issuer", "", "`DN` of the serial's issuer, as sessions --json shows it")
	c.Flags().StringVar(&t.dn, "dn", "", "every certificate with this subject `DN`")
	c.Flags().StringVar(&t.spiffe, "spiffe", "", "every certificate with this SPIFFE `ID`")
	c.MarkFlagsMutuallyExclusive("sha256", "spki", "serial", "dn", "spiffe")
	c.MarkFlagsRequiredTogether("serial", "issuer")
	return t
}

// sql is the target as a command writes it, or "".
func (t *targetFlags) sql() string {
	for _, kind := range []struct{ word, value string }{
		{"SHA256", t.sha256}, {"SPKI", t.spki}, {"SERIAL", t.serial}, {"DN", t.dn}, {"SPIFFE", t.spiffe},
	} {
		if kind.value == "" {
			continue
		}
		sql := kind.word + " " + quoteConsole(kind.value)
		if kind.word == "SERIAL" {
			sql += " ISSUER " + quoteConsole(t.issuer)
		}
		return sql
	}
	return ""
}

var errNoTarget = fmt.Errorf("name what is meant: --sha256, --spki, --serial with --issuer, --dn or --spiffe")

func newKillCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kill [SESSION]",
		Short: "End sessions of a running broker, by id or by certificate",
		Long: `Kill ends one session, named by its id (sessions prints it, and every refusal and log
line), or all sessions of a certificate. Who is killed may log in again: see lock.`,
		Args: cobra.MaximumNArgs(1),
	}
	flags, target := addConsoleFlags(cmd), addTargetFlags(cmd)
	cmd.ValidArgsFunction = completeSessions(flags)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		sql := target.sql()
		switch {
		case (sql == "") == (len(args) == 0):
			return &exitError{code: exitUsage, err: fmt.Errorf("name one session, or a certificate by a flag")}
		case sql != "":
			sql = "KILL CERT " + sql
		case strings.Trim(args[0], "0123456789") == "":
			sql = "KILL_CLIENT " + args[0]
		default:
			sql = "KILL SESSION " + quoteConsole(args[0])
		}
		return runConsole(cmd, flags, sql)
	}
	return cmd
}

func newLockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lock",
		Short: "Keep a certificate or identity out, and end its sessions",
		Long: `Lock refuses new logins of the certificates that a flag names, before any rule is
asked, and ends their sessions. With admin { locks_file } it outlives a restart.`,
		Args: noArgs,
	}
	flags, target := addConsoleFlags(cmd), addTargetFlags(cmd)
	var span time.Duration
	cmd.Flags().Func("for", "`DURATION`, such as 12h or 30d (default: until unlock)", func(s string) (err error) {
		span, err = parseLifetime(s)
		return err
	})
	reason := cmd.Flags().String("reason", "", "why, for SHOW LOCKS and the audit")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		sql := target.sql()
		if sql == "" {
			return &exitError{code: exitUsage, err: errNoTarget}
		}
		sql = "LOCK CERT " + sql
		if span > 0 {
			sql += " FOR " + quoteConsole(span.String())
		}
		if *reason != "" {
			sql += " REASON " + quoteConsole(*reason)
		}
		return runConsole(cmd, flags, sql)
	}
	return cmd
}

func newUnlockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unlock",
		Short: "Take a lock back",
		Long:  "Unlock takes back the lock with exactly this target. \"pgsignet console SHOW LOCKS\" lists them.",
		Args:  noArgs,
	}
	flags, target := addConsoleFlags(cmd), addTargetFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if target.sql() == "" {
			return &exitError{code: exitUsage, err: errNoTarget}
		}
		return runConsole(cmd, flags, "UNLOCK CERT "+target.sql())
	}
	return cmd
}

func newReloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have a running broker read its configuration again",
		Long: `Reload has the broker read its files, run their tests, and take them over in one step.
When anything is wrong nothing changes, and status is 1.`,
		Args: noArgs,
	}
	flags := addConsoleFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runConsole(cmd, flags, "RELOAD") }
	return cmd
}

func newConsoleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "console COMMAND",
		Short: "Run a command of the console of a running broker",
		Long: `Console runs one command as the SQL console has it, and prints its rows or its tag:
console SHOW LOCKS, console SHOW TRUST, console PAUSE orders. SHOW HELP lists them all. A
command with quotes is an argument of its own: console "KILL CERT DN 'CN=bob'".`,
		Args: cobra.MinimumNArgs(1),
	}
	flags := addConsoleFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return runConsole(cmd, flags, strings.Join(args, " ")) }
	return cmd
}

// runConsole runs a command and prints its rows, or its tag when it has no columns.
func runConsole(cmd *cobra.Command, flags *consoleFlags, sql string) error {
	return withConsole(cmd, flags, func(ctx context.Context, c *consoleConn) error {
		t, err := c.query(ctx, sql)
		switch {
		case err != nil:
			return err
		case len(t.Columns) > 0 && flags.json:
			return t.writeJSON(cmd.OutOrStdout())
		case len(t.Columns) > 0:
			return t.writeText(cmd.OutOrStdout(), 0)
		case flags.json:
			return writeJSON(cmd.OutOrStdout(), map[string]string{"result": t.Tag})
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), t.Tag)
		return err
	})
}

// only keeps the columns named, in that order.
func (t *consoleTable) only(names []string) *consoleTable {
	kept := &consoleTable{Tag: t.Tag}
	var from []int
	for _, name := range names {
		for i, c := range t.Columns {
			if c == name {
				from = append(from, i)
				kept.Columns, kept.Numeric = append(kept.Columns, c), append(kept.Numeric, t.Numeric[i])
			}
		}
	}
	for _, row := range t.Rows {
		values := make([]consoleValue, len(from))
		for i, at := range from {
			values[i] = row[at]
		}
		kept.Rows = append(kept.Rows, values)
	}
	return kept
}

// writeText prints a table; width, unless 0, cuts its lines.
func (t *consoleTable) writeText(w io.Writer, width int) error {
	sizes := make([]int, len(t.Columns))
	for i, c := range t.Columns {
		sizes[i] = textWidth(c)
		for _, row := range t.Rows {
			sizes[i] = max(sizes[i], textWidth(printable(row[i].Text)))
		}
	}
	p := &printer{w: w}
	line := func(cell func(i int) string) {
		var b strings.Builder
		for i := range t.Columns {
			text := printable(cell(i))
			if t.Numeric[i] {
				text = strings.Repeat(" ", sizes[i]-textWidth(text)) + text
			}
			b.WriteString(padText(text, sizes[i]) + "  ")
		}
		text := b.String()
		if width > 0 {
			text = fitText(text, width)
		}
		p.printf("%s\n", strings.TrimRight(text, " "))
	}
	line(func(i int) string { return t.Columns[i] })
	for _, row := range t.Rows {
		line(func(i int) string { return row[i].Text })
	}
	return p.err
}

// printable shows control and format characters, which a client may name itself with, as '?'.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

// writeJSON prints an array of objects, numbers as numbers.
func (t *consoleTable) writeJSON(w io.Writer) error {
	list := make([]map[string]any, 0, len(t.Rows))
	for _, row := range t.Rows {
		object := make(map[string]any, len(row))
		for i, v := range row {
			switch {
			case v.Null:
				object[t.Columns[i]] = nil
			case t.Numeric[i]:
				object[t.Columns[i]] = json.Number(v.Text)
			default:
				object[t.Columns[i]] = v.Text
			}
		}
		list = append(list, object)
	}
	return writeJSON(w, list)
}
