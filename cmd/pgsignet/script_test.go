package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pgsignet/pgsignet/testenv/reference"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"pgsignet": func() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScript runs testdata/script: each command as a process, with its exit status.
//
//	exits N COMMAND...     the command must end with status N
//	reference [-all]       puts the reference configuration, with every setting on, into pgsignet.hcl,
//	                       and makes the files it names
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     scriptExits,
			"reference": scriptReference,
		},
		Condition: func(cond string) (bool, error) {
			if cond != "root" {
				return false, errors.New("unknown condition " + cond)
			}
			return os.Geteuid() == 0, nil
		},
	})
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%q ended with status %d, want %d", args[1:], got, want)
	}
}

func scriptReference(ts *testscript.TestScript, _ bool, args []string) {
	_, err := reference.Make(ts.MkAbs("."), time.Now())
	ts.Check(err)
	src, err := os.ReadFile(filepath.Join(repository, "deploy/pgsignet.hcl"))
	ts.Check(err)
	if slices.Contains(args, "-all") {
		src = reference.Uncomment(src)
	}
	ts.Check(os.WriteFile(ts.MkAbs("pgsignet.hcl"), src, 0o600))
}

// repository is the top folder; tests start in their package's.
var repository, _ = filepath.Abs("../..")
