package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Target is a server and the certificate to log in with.
type Target struct {
	Name     string // "direct", "session", "transaction"
	Host     string
	Port     string
	User     string
	Database string

	RootCert, Cert, Key string // PEM; the key is readable by the caller alone
	P12                 string // certificate and key as PKCS#12, for Java; "" like Cert: no certificate

	// Modern says that it speaks what ModernOnly drivers insist on: TLS from the first byte and protocol
	// 3.2, as the broker and PostgreSQL 18 do.
	Modern bool
}

// P12Password is the password of Target.P12; pgjdbc takes none without one.
const P12Password = "compat"

// Env is the target as the drivers find it: libpq's variables, and a few of ours.
func (t *Target) Env() []string {
	return []string{
		"PGHOST=" + t.Host, "PGPORT=" + t.Port, "PGUSER=" + t.User, "PGDATABASE=" + t.Database,
		"PGSSLMODE=verify-full", "PGSSLROOTCERT=" + t.RootCert, "PGSSLCERT=" + t.Cert, "PGSSLKEY=" + t.Key,
		"COMPAT_P12=" + t.P12, "COMPAT_P12_PASSWORD=" + P12Password, "COMPAT_MODE=" + t.Name,
	}
}

// Status is how a step went.
type Status string

// The statuses that a driver's program prints.
const (
	OK   Status = "ok"
	Fail Status = "fail"
	None Status = "none" // the driver has no such thing
)

// Step is one line of a driver's program.
type Step struct {
	Step   string
	Status Status
	Detail string
}

// Result is what a driver did against one target.
type Result struct {
	Driver, Version, Library string
	Steps                    []Step
}

// Find returns a step's line, which is a failure when the program did not come so far.
func (r *Result) Find(name string) Step {
	for _, step := range r.Steps {
		if step.Step == name {
			return step
		}
	}
	return Step{Step: name, Status: Fail, Detail: "the program said nothing about it"}
}

// runTimeout is how long a driver may take for all its steps; its own limit is 90 s.
const runTimeout = 2 * time.Minute

// Run takes a driver through the steps. The error is an absent driver's, or that of a program that
// does not start or prints something else; failed steps are in the result.
func (p *Place) Run(ctx context.Context, d Driver, t *Target, env ...string) (*Result, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	cmd, err := p.Command(ctx, d)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(p.Work, d.Key+"-")
	if err != nil {
		return nil, err
	}
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1",
		"COMPAT_TABLE=compat_" + d.Key + "_t", "COMPAT_DIR=" + dir}, t.Env()...)
	if !d.ModernOnly || t.Modern {
		cmd.Env = append(cmd.Env, d.Env...)
	}
	cmd.Env = append(cmd.Env, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second // for grandchildren that hold the pipes
	runErr := cmd.Run()
	result, err := parse(stdout.Bytes())
	if err != nil || runErr != nil {
		return result, fmt.Errorf("%s: %w\n%s%s", d.Name, errors.Join(runErr, err), stdout.String(), stderr.String())
	}
	return result, nil
}

func parse(out []byte) (*Result, error) {
	result := &Result{}
	for line := range bytes.Lines(out) {
		if !bytes.HasPrefix(line, []byte("{")) {
			continue // what a runtime says by itself
		}
		if err := json.Unmarshal(line, result); err != nil {
			return result, fmt.Errorf("%q: %w", line, err)
		}
		var step Step
		if err := json.Unmarshal(line, &step); err != nil {
			return result, fmt.Errorf("%q: %w", line, err)
		}
		if step.Step != "" {
			step.Detail = strings.Join(strings.Fields(step.Detail), " ")
			result.Steps = append(result.Steps, step)
		}
	}
	if len(result.Steps) == 0 {
		return result, errors.New("no step was reported")
	}
	return result, nil
}
