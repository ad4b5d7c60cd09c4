package pgwire_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsignet/pgsignet/pgwire"
)

func TestParseOptions(t *testing.T) {
	type list = []pgwire.Param
	for _, tt := range []struct {
		in   string
		want list
	}{
		{"", nil},
		{"   ", nil},
		{"-c a=1", list{{"a", "1"}}},
		{"-ca=1", list{{"a", "1"}}},
		{"--a=1", list{{"a", "1"}}},
		{"-c\ta=1\n-c b=2", list{{"a", "1"}, {"b", "2"}}},
		{"-c search-path=x-y", list{{"search_path", "x-y"}}}, // only in the name
		{"--statement-timeout=5s", list{{"statement_timeout", "5s"}}},
		{`-c a=b\ c`, list{{"a", "b c"}}},
		{`-c a=b\\c`, list{{"a", `b\c`}}},
		{`-c a=b\`, list{{"a", "b"}}},
		{`-c\ a=1`, list{{" a", "1"}}},
		{"-c a==b=c", list{{"a", "=b=c"}}},
		{"-c a=", list{{"a", ""}}},
		{"-c =x", list{{"", "x"}}},
		{"--a=1 --", list{{"a", "1"}}},
		{"-ec a=1", list{{"datestyle", "euro"}, {"a", "1"}}},
		{"-F -O -P -s -i -l", list{{"fsync", "false"}, {"allow_system_table_mods", "true"},
			{"ignore_system_indexes", "true"}, {"log_statement_stats", "true"},
			{"listen_addresses", "*"}, {"ssl", "true"}}},
		{"-b -E -j -n -T -C x -D y -r z -v 3", nil},
		{"-S 64 -W3", list{{"work_mem", "64"}, {"post_auth_delay", "3"}}},
		{"-fs -fi -fo -fb -ft -fn -fm -fh", list{{"enable_seqscan", "false"}, {"enable_indexscan", "false"},
			{"enable_indexonlyscan", "false"}, {"enable_bitmapscan", "false"}, {"enable_tidscan", "false"},
			{"enable_nestloop", "false"}, {"enable_mergejoin", "false"}, {"enable_hashjoin", "false"}}},
		{"-tpa -tplanner -te", list{{"log_parser_stats", "true"}, {"log_planner_stats", "true"},
			{"log_executor_stats", "true"}}},
		{"-d0", list{{"log_min_messages", "notice"}}},
		{"-d2", list{{"log_min_messages", "debug2"}, {"log_statement", "all"}}},
		{"-d 5x", list{{"log_min_messages", "debug5"}, {"log_statement", "all"}, {"debug_print_parse", "true"},
			{"debug_print_plan", "true"}, {"debug_print_rewritten", "true"}}},
	} {
		got, err := pgwire.ParseOptions(tt.in)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q: %s", tt.in, diff)
		}
	}
}

func TestParseOptionsRefuses(t *testing.T) {
	for in, text := range map[string]string{
		"x":             "invalid command-line argument for server process: x",
		"-":             "invalid command-line argument for server process: -",
		"-c":            "invalid command-line argument for server process: -c",
		"-ca=1 b":       "invalid command-line argument for server process: b",
		"-z":            "invalid command-line argument for server process: -z",
		"-c a":          "-c a requires a value",
		"-c --":         "-c -- requires a value",
		"--a":           "--a requires a value",
		"-- --a=1":      "invalid command-line argument for server process: --",
		`\ `:            "invalid command-line argument for server process:  ",
		"-fx":           "invalid command-line argument for server process: -fx",
		"-tx":           "invalid command-line argument for server process: -tx",
		"--a=1 -c b= c": "invalid command-line argument for server process: c",
	} {
		got, err := pgwire.ParseOptions(in)
		e, ok := errors.AsType[*pgwire.Error](err)
		if !ok {
			t.Errorf("%q: got %v, %v", in, got, err)
			continue
		}
		if e.Message != text || e.SQLState() != "42601" {
			t.Errorf("%q: got %s %q, want 42601 %q", in, e.SQLState(), e.Message, text)
		}
	}
}

// A106, A125: every spelling PostgreSQL accepts for a setting that a client may not touch.
func TestForbiddenSetting(t *testing.T) {
	for _, name := range []string{
		"role", "ROLE", "Role", "session_authorization", "session-authorization", "Session-Authorization",
		"SESSION_AUTHORIZATION", "pgsignet.session", "PgSignet.token", "PGSIGNET-token", "pgsignet", "pgsignet.",
	} {
		if !pgwire.ForbiddenSetting(name) {
			t.Errorf("%q is let through", name)
		}
	}
	for _, name := range []string{
		"", "roles", "rol", "my.role", "search_path", "session_authorizations", "pgsignets.x", "x.pgsignet", "pgsigne",
	} {
		if pgwire.ForbiddenSetting(name) {
			t.Errorf("%q is forbidden", name)
		}
	}
}

func TestForbiddenInOptions(t *testing.T) {
	for _, in := range []string{
		"-c role=x", "--role=x", "-crole=x", "-c session_authorization=x", "-c session-authorization=x",
		"-c ROLE=x", "--Role=x", `-c \r\o\l\e=x`, `-\c role=x`, "-c pgsignet.x=y", "-c PGSIGNET-token=y",
		"-ec role=x", "-e --role=x", "-O-role=x",
	} {
		params, err := pgwire.ParseOptions(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		forbidden := false
		for _, p := range params {
			forbidden = forbidden || pgwire.ForbiddenSetting(p.Name)
		}
		if !forbidden {
			t.Errorf("%q is let through: %v", in, params)
		}
	}
}
