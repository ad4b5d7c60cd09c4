package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pgsignet/pgsignet/broker/audit"
)

// TestAuditScript runs testdata/auditscript: the audit commands over a small record.
//
//	record DIR             writes a record of a session, a refusal and an administrator's command
//	tamper DIR OLD NEW     replaces OLD by NEW in the first file of DIR
//	exits N COMMAND...     as in TestScript
func TestAuditScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/auditscript",
		Setup: func(e *testscript.Env) error {
			e.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  scriptExits,
			"record": scriptRecord,
			"tamper": scriptTamper,
		},
	})
}

func scriptRecord(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: record DIR")
	}
	writeRecord(func(args ...any) { ts.Fatalf("%v", args) }, ts.MkAbs(args[0]))
}

// writeRecord fills dir, or calls fatal.
func writeRecord(fatal func(...any), dir string) {
	check := func(err error) {
		if err != nil {
			fatal(err)
		}
	}
	log, err := audit.Open(audit.Config{Directory: dir, Node: "gw1"})
	check(err)
	sid, sha := "01993a9c-5f2e-7cc1-8f2b-0123456789ab", strings.Repeat("9f", 32)
	for _, r := range []*audit.Record{
		{Event: audit.SessionOpen, SID: sid, Client: &audit.Client{Addr: "10.2.3.14:53912", Listener: "main"},
			Cert: &audit.Cert{SHA256: sha, CN: "alice"}, Rule: &audit.Rule{Kind: "map", Name: "people"},
			Granted: &audit.Granted{Role: "analyst", Database: "orders"}},
		{Event: audit.Statement, SID: sid, CertSHA256: sha, Map: "people", Role: "analyst", Database: "orders",
			Stmt: &audit.Stmt{ID: 1, Phase: audit.PhaseAll, Op: "query", Text: "SELECT *\nFROM payments", SQLState: "00000", RowsOut: 3}},
		{Event: audit.Statement, SID: sid, CertSHA256: sha, Map: "people", Role: "analyst", Database: "orders",
			Stmt: &audit.Stmt{ID: 2, Phase: audit.PhaseAll, Op: "query", Text: "delete from payments", SQLState: "42501", Message: "permission denied"}},
		{Event: audit.SessionDenied, SID: strings.Replace(sid, "ab", "cd", 1), Client: &audit.Client{Addr: "192.0.2.66:1", Listener: "main"},
			Cert:   &audit.Cert{SHA256: strings.Repeat("ff", 32), CN: "mallet\x1b[2J"},
			Denial: &audit.Denial{Stage: "policy", Reason: "no_map", SQLState: "28000", Message: "certificate not admitted"}},
		{Event: audit.AdminAction, Action: &audit.Action{Via: "console", Verb: "PAUSE", Result: "ok"}},
	} {
		check(log.AppendDurable(context.Background(), r))
	}
	check(log.Close())
}

func scriptTamper(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: tamper DIR OLD NEW")
	}
	files, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*.ndjson"))
	ts.Check(err)
	text, err := os.ReadFile(files[0])
	ts.Check(err)
	if !bytes.Contains(text, []byte(args[1])) {
		ts.Fatalf("%s does not hold %q", files[0], args[1])
	}
	ts.Check(os.Chmod(files[0], 0o600))
	ts.Check(os.WriteFile(files[0], bytes.Replace(text, []byte(args[1]), []byte(args[2]), 1), 0o600))
}

func TestParseWhen(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 14, 7, 0, time.UTC)
	for _, tt := range []struct{ text, want string }{
		{"2026-11-01", "2026-11-01T00:00:00Z"},
		{"2026-11-01 08:30", "2026-11-01T08:30:00Z"},
		{"2026-11-01T08:30:15+02:00", "2026-11-01T06:30:15Z"},
		{"2h", "2026-11-22T07:14:07Z"},
		{"7d", "2026-11-15T09:14:07Z"},
		{"yesterday", ""},
		{"-2h", ""},
		{"", ""},
	} {
		got, err := parseWhen(tt.text, now)
		if text := got.UTC().Format(time.RFC3339); (err == nil) != (tt.want != "") || err == nil && text != tt.want {
			t.Errorf("parseWhen(%q) = %s, %v; want %q", tt.text, text, err, tt.want)
		}
	}
}

func TestProgressBar(t *testing.T) {
	for _, tt := range []struct {
		done  int64
		width int
		want  string
	}{
		{0, 40, "[                   ]   0% of 1000.0 MB"},
		{500_000_000, 40, "[#########          ]  50% of 1000.0 MB"},
		{2_000_000_000, 40, "[###################] 100% of 1000.0 MB"},
		{500_000_000, 10, "  50% of 1000.0 MB"},
	} {
		got := progressBar(tt.done, 1_000_000_000, tt.width)
		if got != tt.want {
			t.Errorf("progressBar(%d, %d) = %q, want %q", tt.done, tt.width, got, tt.want)
		}
	}
}
