package compat

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/e2e"
	"github.com/pgsignet/pgsignet/testenv/poll"
)

// audited are the drivers whose statements are compared: five that speak the protocol in their own
// ways, and two more over libpq.
var audited = []string{"psql", "pgx", "psycopg3", "asyncpg", "pgjdbc", "node_pg", "psycopg2"}

// TestAuditAndServerAgree drives every kind of statement through the drivers and compares, server
// connection by server connection, what the audit says was run with what PostgreSQL says, by
// log_statement = all: nothing missing, nothing extra, nothing in another order.
func TestAuditAndServerAgree(t *testing.T) {
	w := newWorld(t, 0, map[string]string{"log_statement": "all", "log_line_prefix": "%m [%p] "})
	few := []string{"pgx", "psycopg3"} // for the other two combinations
	for _, tt := range []struct {
		mode, delivery string
		drivers        []string
	}{{"session", "best_effort", audited}, {"transaction", "strict", audited}, {"session", "strict", few}, {"transaction", "best_effort", few}} {
		mode, delivery := tt.mode, tt.delivery
		t.Run(mode+"/"+delivery, func(t *testing.T) {
			mark := w.server.LogSize()
			b := w.Start(t, e2e.Options{
				Host: w.server.Addr(), Rules: rules, Listener: slowClients, Pool: `mode = "` + mode + `"`,
				Top: `database "*" { upstream = "pg" }`, Audit: `level = "full"` + "\n" + `delivery = "` + delivery + `"`,
			})
			target := w.at(t, mode, b.Addr, role, w.client(role))
			if ran, least := w.driveAll(t, target, tt.drivers), min(5, len(tt.drivers)); ran < least {
				t.Errorf("%d drivers ran, want at least %d: go run ./testenv/compat/setup", ran, least)
			}
			w.closed(t, b)
			w.compare(t, b, mark, mode == "session")
		})
	}
}

// closed waits until the record has the end of every session. A last one tells when it has every beginning.
func (w *world) closed(t *testing.T, b *e2e.Broker) {
	t.Helper()
	const last = "the last one"
	c, err := b.TryConnect(w.client(role), role, role, func(cfg *pgx.ConnConfig) { cfg.RuntimeParams["application_name"] = last })
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	var opened []map[string]any
	poll.Until(t, "the beginning of the last session", func() bool {
		opened = b.Records("session.open", 1)
		return slices.ContainsFunc(opened, func(r map[string]any) bool {
			client, _ := r["client"].(map[string]any)
			return client["app"] == last
		})
	})
	b.Records("session.close", len(opened))
}

// driveAll takes drivers through all steps at once and returns how many there are.
func (w *world) driveAll(t *testing.T, target *Target, keys []string) int {
	var ran atomic.Int64
	var drivers sync.WaitGroup
	for _, d := range Drivers() {
		if slices.Contains(keys, d.Key) {
			drivers.Go(func() {
				if w.drive(t, d, target) {
					ran.Add(1)
				}
			})
		}
	}
	drivers.Wait()
	return int(ran.Load())
}

// drive takes one driver through all steps; what they come to is TestDrivers' to judge.
func (w *world) drive(t *testing.T, d Driver, target *Target) bool {
	_, err := place.Run(t.Context(), d, target)
	if missing := absent(""); errors.As(err, &missing) {
		t.Logf("%s: %v", d.Key, err)
		return false
	}
	if err != nil {
		t.Errorf("%s: %v", d.Key, err)
	}
	return err == nil
}

// compare holds the record against the server's log from mark on.
func (w *world) compare(t *testing.T, b *e2e.Broker, mark int64, names bool) {
	t.Helper()
	log, err := w.server.LogFrom(mark)
	if err != nil {
		t.Fatal(err)
	}
	server, record := logged(log, names), recorded(t, b, names)
	total := 0
	for pid, want := range server {
		got := record[pid]
		total += len(want)
		if got, want = settle(got, want); !slices.Equal(got, want) {
			t.Errorf("server process %s:\n%s", pid, difference(got, want))
		}
	}
	for pid, got := range record {
		if server[pid] == nil && len(got) > 0 {
			t.Errorf("server process %s is not in the log, and the record has %q", pid, got)
		}
	}
	if total < 100 {
		t.Errorf("%d statements were compared, want more than 100", total)
	}
	t.Logf("%d statements of %d server connections", total, len(server))
}

// rollback is what the broker sends for a client that has left inside a transaction, right before its
// DISCARD ALL; a client may say the same.
const rollback = "query: ROLLBACK"

// settle takes the broker's own ROLLBACKs out of what the log has.
func settle(got, want []string) (record, log []string) {
	i := 0
	for _, s := range want {
		s, last := strings.CutSuffix(s, "; DISCARD ALL")
		if last && (i >= len(got) || got[i] != rollback) {
			continue
		}
		log = append(log, s)
		i++
	}
	return got, log
}

// difference shows where two lists part.
func difference(got, want []string) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	near := func(list []string) string {
		return fmt.Sprintf("%d: %q", len(list), list[min(len(list), i):min(len(list), i+3)])
	}
	return fmt.Sprintf("from statement %d on the record has %s\nthe log has %s", i, near(got), near(want))
}

var (
	logLine = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC \[(\d+)\] (\w+):  (.*)$`)
	// ours are the broker's own statements, on connections that it logged in; pgconn's SyncConn pings when
	// its reader is not at rest.
	ours = regexp.MustCompile(`^(-- ping$|SELECT pg_catalog\.set_config|SELECT pg_catalog\.|DISCARD ALL|SELECT r\.rolcanlogin)`)
	// executes is how the log names a statement of the extended protocol.
	executes = regexp.MustCompile(`(?s)^execute (fetch from )?(.*?)(/\S*)?: (.*)$`)
)

// logged lists the statements in a log, by process.
func logged(log string, names bool) map[string][]string {
	all := make(map[string][]string)
	pid, level, text := "", "", ""
	flush := func() {
		if level == "LOG" {
			list := all[pid]
			if s, ok := statementOf(text, names); ok {
				all[pid] = append(list, s)
			} else if n := len(list); text == "statement: DISCARD ALL" && n > 0 && list[n-1] == rollback {
				list[n-1] += "; DISCARD ALL"
			}
		}
		level = ""
	}
	for line := range strings.Lines(log) {
		line = strings.TrimSuffix(line, "\n")
		if m := logLine.FindStringSubmatch(line); m != nil {
			flush()
			pid, level, text = m[1], m[2], m[3]
		} else {
			text += "\n" + strings.TrimPrefix(line, "\t")
		}
	}
	flush()
	return all
}

// statementOf is a log message as the comparison has it.
func statementOf(message string, names bool) (string, bool) {
	if text, ok := strings.CutPrefix(message, "statement: "); ok {
		return "query: " + short(text), !ours.MatchString(text)
	}
	if strings.HasPrefix(message, "fastpath function call: ") {
		return "function", true
	}
	m := executes.FindStringSubmatch(message)
	if m == nil || ours.MatchString(m[4]) {
		return "", false
	}
	name := ""
	if names && m[2] != "<unnamed>" {
		name = m[2]
	}
	return "execute " + name + ": " + short(m[4]), true
}

// short is what is compared of a text: the record cuts long ones.
func short(text string) string { return strings.TrimRight(text[:min(len(text), 2000)], " \n") }

// recorded lists the statements in the record that the server has run, by its process.
func recorded(t *testing.T, b *e2e.Broker, names bool) map[string][]string {
	all := make(map[string][]string)
	type key struct{ sid, id any }
	starts := make(map[key]map[string]any)
	for _, r := range b.Records("statement", 1) {
		s := r["stmt"].(map[string]any)
		if s["phase"] == "start" {
			starts[key{r["sid"], s["id"]}] = s
			continue
		}
		whole := s
		if s["phase"] == "end" {
			if whole = starts[key{r["sid"], s["id"]}]; whole == nil {
				t.Errorf("an end without a start: %v", r)
				continue
			}
		}
		text, _ := whole["text"].(string)
		name, _ := whole["name"].(string)
		if !names {
			name = ""
		}
		upstream, _ := r["upstream"].(map[string]any)
		pid := fmt.Sprint(upstream["pid"])
		switch {
		case s["sqlstate"] == nil, s["sqlstate"] == "42601", whole["op"] == "execute" && s["sqlstate"] != "00000" && s["bytes_out"] == 0.0:
			// not run, for an error before it, in its text or in its Bind: PostgreSQL does not log it either
		case whole["op"] == "query":
			all[pid] = append(all[pid], "query: "+short(text))
		case whole["op"] == "execute" && text != "": // an empty one is not logged
			all[pid] = append(all[pid], "execute "+name+": "+short(text))
		case whole["op"] == "function":
			all[pid] = append(all[pid], "function")
		}
	}
	return all
}
