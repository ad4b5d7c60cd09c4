package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// runCA executes `ca` with these arguments in a directory of the test's own.
func runCA(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newCACommand()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append([]string{"--dir", dir}, args...))
	err := cmd.Execute()
	return out.String(), err
}

// variable matches what differs from run to run in the commands' output.
var variable = regexp.MustCompile(`[0-9a-f]{32,64}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

func TestCA(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	for _, tt := range []struct {
		args string // words; _ is a space inside one
		want string // with DIR, and ~ for what differs; empty: not compared
		err  string
	}{
		{args: "issue alice", err: `there is no CA "ca"`},
		{args: "init", want: "Made CA CN=pgsignet development CA, until ~: DIR/ca.crt, DIR/ca.key, DIR/ca.crl\n"},
		{args: "init", err: "ca.crt exists"},
		{args: "init --ca clients --cn Clients_CA --o Example --lifetime 365d",
			want: "Made CA CN=Clients CA,O=Example, until ~: DIR/clients.crt, DIR/clients.key, DIR/clients.crl\n"},
		{args: "issue alice --o Example --ou Dev --email alice@Example.com --dns *.x --dns a.x --ip 10.0.0.1 " +
			"--uri spiffe://prod.example/a --ext 1.2.3.4=analyst --lifetime 30d",
			want: `Issued a client certificate, until ~: DIR/alice.crt, DIR/alice.key
  cn        "alice"
  dn        CN=alice,OU=Dev,O=Example
  email     alice@example.com
  dns       a.x
  uri       spiffe://prod.example/a
  spiffe    spiffe://prod.example/a
  ip        10.0.0.1
  extension 1.2.3.4 = "analyst"
  serial    ~
  sha256    ~
  note: 1 of 2 dns values are no identity and fit no rule
`},
		{args: "issue alice", err: "alice.crt exists"},
		{args: "issue svid --cn  --uri spiffe://Prod.example/a",
			want: `Issued a client certificate, until ~: DIR/svid.crt, DIR/svid.key
  uri       spiffe://Prod.example/a
  serial    ~
  sha256    ~
  note: no spiffe value: spiffe: SPIFFE ID: trust domain is not 1 to 255 of a-z 0-9 . _ -
`},
		{args: "issue homoglyph --cn аlice", want: `Issued a client certificate, until ~: DIR/homoglyph.crt, DIR/homoglyph.key
  cn        "\u0430lice" (U+0430 Cyrillic)
  dn        CN=\D0\B0lice
  serial    ~
  sha256    ~
`},
		{args: "issue server --server --cn db",
			want: `Issued a server certificate, until ~: DIR/server.crt, DIR/server.key
  cn        "db"
  dn        CN=db
  dns       localhost
  ip        127.0.0.1
  ip        ::1
  serial    ~
  sha256    ~
`},
		{args: "issue bad --cn a\u202eb", err: "bidirectional control U+202E"},
		{args: "issue both --client --server", err: "none of the others can be"},
		{args: "issue x --lifetime 0d", err: "want whole days"},
		{args: "issue x --lifetime soon", err: "want a duration such as"},
		{args: "issue x --ip 1.2.3", err: "invalid argument"},
		{args: "issue x --ext 1.2.3", err: "want OID=VALUE"},
		{args: "issue", err: "accepts 1 arg"},
		{args: "revoke alice --reason keyCompromise", want: "Revoked alice, serial ~; published CRL number 2: DIR/ca.crl\n"},
		{args: "revoke alice", err: "was revoked at"},
		{args: "revoke alice --ca clients", err: "was not issued by CA"},
		{args: "revoke", err: "give either the NAME"},
		{args: "revoke alice --serial 1", err: "give either the NAME"},
		{args: "revoke --serial 1", err: "issued no such certificate"},
		{args: "crl --lifetime 12h", want: "Published CRL number 3 with 1 revoked, until ~: DIR/ca.crl\n"},
		{args: "crl --ca clients", want: "Published CRL number 2 with 0 revoked, until ~: DIR/clients.crl\n"},
		{args: "sign", err: `unknown command "sign"`},
	} {
		t.Run(tt.args, func(t *testing.T) {
			args := strings.Split(tt.args, " ")
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "_", " ")
			}
			out, err := runCA(t, dir, args...)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %q, %v, want an error with %q", out, err, tt.err)
				}
				return
			}
			got := variable.ReplaceAllString(strings.ReplaceAll(out, dir, "DIR"), "~")
			if err != nil || got != tt.want {
				t.Errorf("got %v\n%s\nwant\n%s", err, got, tt.want)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "bad.crt")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused certificate was written: %v", err)
	}
}

// TestCAUsage: a wrong combination of arguments is status 2, as a wrong flag is.
func TestCAUsage(t *testing.T) {
	_, err := runCA(t, t.TempDir(), "revoke")
	exit, ok := errors.AsType[*exitError](err)
	if !ok || exit.code != exitUsage {
		t.Errorf("got %v, want status 2", err)
	}
	var names []string
	for _, c := range newCACommand().Commands() {
		names = append(names, c.Name())
	}
	if got := strings.Join(names, " "); got != "crl example init issue revoke" {
		t.Errorf("got subcommands %s", got)
	}
}
