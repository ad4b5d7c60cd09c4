package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/policy"
)

// explainFlags are the login to explain.
type explainFlags struct {
	cert, user, database, from, at, listener, application string
	replication, asJSON                                   bool
}

func newExplainCommand() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain --cert FILE",
		Short: "Show what becomes of a login, and why",
		Long: `Explain takes a login through the same steps as the broker: it verifies the certificate
(its chain and CRLs, without the network), reads the identity out of it, and tries every deny
and map in order, with the first condition that failed in each. Locks set at the console are
the running broker's and are not looked at.

Status 0: the login is granted; 3: refused; 1: the configuration has errors.`,
		Args: noArgs,
	}
	flags := addConfigFlags(cmd)
	f.add(cmd)
	completeNames(cmd, flags, "database", databasesNamed)
	completeNames(cmd, flags, "listener", listenerNames)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.cert == "" {
			return &exitError{code: exitUsage, err: errors.New("explain needs --cert FILE")}
		}
		cfg, err := loadForUse(flags, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		request, err := f.request(cfg, time.Now())
		if err != nil {
			return &exitError{code: exitUsage, err: err}
		}
		e, err := explain(cfg, f.cert, request)
		if err != nil {
			return err
		}
		write := writeExplanation
		if f.asJSON {
			write = writeExplanationJSON
		}
		if err := write(cmd.OutOrStdout(), e); err != nil {
			return err
		}
		if e.Grant() == nil {
			return &exitError{code: exitRefused}
		}
		return nil
	}
	return cmd
}

func (f *explainFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cert, "cert", "", "certificate `FILE` in PEM: leaf first, then its intermediates")
	cmd.Flags().StringVar(&f.user, "user", "", "requested `USER` (default: the certificate's common name)")
	cmd.Flags().StringVar(&f.database, "database", "", "requested `DATABASE` (default: the user's name)")
	cmd.Flags().StringVar(&f.from, "from", "", "client's `IP` address (default: none in particular)")
	cmd.Flags().StringVar(&f.at, "at", "", "`TIME` of the login, such as 2026-11-23T10:00:00Z (default: now)")
	cmd.Flags().StringVar(&f.listener, "listener", "", "`NAME` of the listener (default: the only one)")
	cmd.Flags().StringVar(&f.application, "application-name", "", "the client's application_name")
	cmd.Flags().BoolVar(&f.replication, "replication", false, "ask for a replication connection")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
}

// request is the login as far as the command line gives it: everything but the identity.
func (f *explainFlags) request(cfg *config.Config, now time.Time) (policy.Request, error) {
	r := policy.Request{User: f.user, Database: f.database, ApplicationName: f.application, Replication: f.replication, Now: now}
	var err error
	if r.Listener, err = chooseListener(cfg, f.listener); err != nil {
		return r, err
	}
	if f.from != "" {
		if r.Addr, err = netip.ParseAddr(f.from); err != nil {
			return r, fmt.Errorf("--from takes an IP address, not %q", f.from)
		}
		r.Addr = r.Addr.Unmap() // as the broker sees it, and the audit has it
	}
	if f.at != "" {
		if r.Now, err = time.Parse(time.RFC3339, f.at); err != nil {
			return r, fmt.Errorf("--at takes a time such as 2026-11-23T10:00:00Z, not %q", f.at)
		}
	}
	return r, nil
}

func chooseListener(cfg *config.Config, name string) (string, error) {
	var names []string
	for _, l := range cfg.Listeners {
		names = append(names, l.Name)
	}
	switch {
	case name == "" && len(names) == 1:
		return names[0], nil
	case name == "":
		return "", fmt.Errorf("there are several listeners; choose one with --listener: %s", strings.Join(names, ", "))
	case !slices.Contains(names, name):
		return "", fmt.Errorf("there is no listener %q; there are: %s", name, strings.Join(names, ", "))
	}
	return name, nil
}

// explanation is a whole login on paper.
type explanation struct {
	cfg     *config.Config
	file    string
	verdict *verdict
	request policy.Request
	startup *pgwire.Error      // why the start-up packet is refused, before any rule; or nil
	policy  policy.Explanation // zero when the certificate or the start-up packet was refused
}

// Grant is what the login may do, or nil.
func (e *explanation) Grant() *policy.Grant { return e.policy.Grant }

// refusal is why the login is refused, or nil.
func (e *explanation) refusal() refusal {
	switch {
	case e.verdict.Refusal != nil:
		return e.verdict.Refusal
	case e.startup != nil:
		return e.startup
	case e.policy.Denied != nil:
		return e.policy.Denied
	}
	return nil
}

// explain takes the certificates in file through verification, extraction and policy, as a login.
func explain(cfg *config.Config, file string, r policy.Request) (*explanation, error) {
	v, err := newVerifier(cfg).verify(file, r.Listener, r.Now)
	if err != nil {
		return nil, err
	}
	e := &explanation{cfg: cfg, file: file, verdict: v, request: r}
	if v.Identity == nil {
		return e, nil
	}
	e.request.Identity = v.Identity
	if e.request.User == "" {
		e.request.User = v.Identity.CN
	}
	if e.request.Database == "" {
		e.request.Database = e.request.User
	}
	if e.request.User == "" {
		return nil, &exitError{code: exitUsage, err: errors.New("the certificate has no common name to log in as: name the user with --user")}
	}
	if e.startup = pgwire.RefusesNames(e.request.User, e.request.Database); e.startup != nil {
		return e, nil
	}
	e.policy = cfg.Policy().Explain(e.request)
	return e, nil
}

// upstream is where the sessions of the grant run; nil for the console.
func (e *explanation) upstream() *config.Upstream {
	for i := range e.cfg.Upstreams {
		if e.cfg.Upstreams[i].Name == e.policy.Grant.Upstream {
			return &e.cfg.Upstreams[i]
		}
	}
	return nil
}
