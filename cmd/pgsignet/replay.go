package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/policy"
)

func newReplayCommand() *cobra.Command {
	var since, until whenFlag
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "replay AUDIT_DIR",
		Short: "Decide recorded logins anew, and show which would change",
		Long: `Replay decides every recorded login, granted or refused by the rules, with the rules of
this configuration, at the login's own time, and prints those that would change. Logins whose
record lacks what the rules ask for are counted as undecidable. Certificates are not verified
again, and locks, limits and PostgreSQL's own refusals are not looked at.

Status 0: no login changes; 1: some do, or the configuration has errors.`,
		Example: "  pgsignet replay --config next.hcl /var/lib/pgsignet/audit",
		Args:    cobra.ExactArgs(1),
	}
	flags := addConfigFlags(cmd)
	cmd.Flags().Var(&since, "since", "only logins from this `TIME` on, or this long ago: 7d")
	cmd.Flags().Var(&until, "until", "only logins before this `TIME`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each login that would change, and a last one with the sums")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := loadForUse(flags, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		if err := holdsRecord(args[0]); err != nil {
			return err
		}
		r := newReplay(cfg, cmd.OutOrStdout(), asJSON)
		err = audit.Search(cmd.Context(), audit.SearchConfig{
			Directory: args[0], Query: audit.Query{Event: "session", Since: since.time, Until: until.time}, Visit: r.visit,
		})
		if err == nil {
			err = r.finish()
		}
		if err == nil && r.sums.Changed > 0 {
			return &exitError{code: exitFailure}
		}
		return err
	}
	return cmd
}

// replay decides recorded logins.
type replay struct {
	policy    *policy.Policy
	databases []string
	oids      []string
	out       io.Writer
	asJSON    bool
	sums      replaySums
}

// replaySums says how many logins there were, and of which kind.
type replaySums struct {
	Logins      int `json:"logins"` // decided anew
	Changed     int `json:"changed"`
	Undecidable int `json:"undecidable"`
}

// change is a login that the rules decide otherwise than is recorded.
type change struct {
	Time     string   `json:"time"`
	SID      string   `json:"sid"`
	Subject  string   `json:"subject"`
	User     string   `json:"user"`
	Database string   `json:"database"`
	Differs  []string `json:"differs"`
	Was      outcome  `json:"was"`
	Is       outcome  `json:"is"`
}

// outcome is one side of a change.
type outcome struct {
	Verdict  string `json:"verdict"`
	Map      string `json:"map,omitempty"`
	Role     string `json:"role,omitempty"`
	Database string `json:"database,omitempty"`
	Admin    string `json:"admin,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

func newReplay(cfg *config.Config, out io.Writer, asJSON bool) *replay {
	p := cfg.Policy()
	return &replay{policy: p, databases: databaseNames(cfg), oids: p.OIDs(), out: out, asJSON: asJSON}
}

func (r *replay) visit(m *audit.Match) error {
	for _, text := range m.Lines {
		var login recordedLogin
		if err := json.Unmarshal(text, &login); err != nil {
			return fmt.Errorf("audit line: %w", err)
		}
		if err := r.login(&login); err != nil {
			return err
		}
	}
	return nil
}

// login decides one login. Refusals that no rule had a part in stay what they are.
func (r *replay) login(l *recordedLogin) error {
	if !l.byPolicy() {
		return nil
	}
	request, ok := l.request(r.oids)
	if !ok {
		r.sums.Undecidable++
		return nil
	}
	r.sums.Logins++
	was, is := l.access(), policy.AccessOf(r.decide(request, l.param("replication")))
	differs := was.Differs(is)
	if differs == nil {
		return nil
	}
	r.sums.Changed++
	return r.print(&change{
		Time: l.Time, SID: l.SID, Subject: l.Cert.Subject, User: request.User, Database: request.Database,
		Differs: differs, Was: outcomeOf(was), Is: outcomeOf(is),
	})
}

// decide is what the broker does with a request.
func (r *replay) decide(request policy.Request, replication string) (*policy.Grant, error) {
	if request.Replication && replication != "database" {
		return r.policy.DecidePhysical(request, r.databases)
	}
	return r.policy.Decide(request)
}

func outcomeOf(a policy.Access) outcome {
	o := outcome{Verdict: "refused", Map: a.Rule, Role: a.Role, Database: a.DBName, Admin: a.Admin, Reason: a.Reason}
	if a.Granted {
		o.Verdict = "granted"
	}
	return o
}

// String is "granted by staff as alice on orders" or "refused: no_map".
func (o outcome) String() string {
	if o.Verdict == "refused" {
		text := "refused: " + o.Reason
		if o.Map != "" {
			text += " (" + o.Map + ")"
		}
		return text
	}
	if o.Admin != "" {
		return fmt.Sprintf("granted by %s: %s of the console", o.Map, o.Admin)
	}
	return fmt.Sprintf("granted by %s as %s on %s", o.Map, o.Role, o.Database)
}

func (r *replay) print(c *change) error {
	if r.asJSON {
		return json.NewEncoder(r.out).Encode(c)
	}
	_, err := fmt.Fprintf(r.out, "%s %s %q user %q database %q\n  was %v\n  is  %v\n", c.Time, c.SID, c.Subject, c.User, c.Database, c.Was, c.Is)
	return err
}

func (r *replay) finish() error {
	if r.asJSON {
		return json.NewEncoder(r.out).Encode(r.sums)
	}
	text := fmt.Sprintf("%d of %d logins would change", r.sums.Changed, r.sums.Logins)
	if r.sums.Undecidable > 0 {
		text += fmt.Sprintf("; %d undecidable", r.sums.Undecidable)
	}
	_, err := io.WriteString(r.out, strings.TrimSpace(text)+"\n")
	return err
}
