// Package upstream opens connections to PostgreSQL servers: it finds a host that fits, verifies it,
// logs in as the mapped role and hands over a ready connection; and it cancels what runs there.
//
// It does not pool connections, relay messages or decide who may log in, and it never logs.
package upstream

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Values of Config.Negotiation, as libpq's sslnegotiation. Direct needs PostgreSQL 17.
const (
	NegotiatePostgres = "postgres"
	NegotiateDirect   = "direct"
)

// Config describes one upstream. All fields are required but those said to have a default.
type Config struct {
	Name        string
	Hosts       []string // host:port, tried in order until one fits Target
	Target      string   // default: TargetAny
	ServerName  string   // name or IP address to verify in the server's certificate; default: the host
	Negotiation string   // default: NegotiatePostgres

	// RootCAs returns the CAs that vouch for the servers. It is called at every dial, so that a new
	// file counts from the next connection (T80). Never nil: that would mean the system's (T69).
	RootCAs    func() *x509.CertPool
	Credential Credential

	ConnectTimeout time.Duration // for one address: TCP, TLS, login and checks

	// Lookup resolves a host, anew at every dial; default: net.DefaultResolver.LookupHost.
	Lookup func(ctx context.Context, host string) ([]string, error)
}

// Login is everything that a server fixes at login.
type Login struct {
	Role        string
	Database    string // may be empty for a physical replication connection
	Replication string // "" for none, "true" for physical, "database" for logical

	// Params are further start-up parameters. The broker chooses them: they take effect with the
	// role's rights before the client has said a word (W12).
	Params []pgwire.Param
}

// physical reports a login that cannot run SQL.
func (l Login) physical() bool { return l.Replication != "" && l.Replication != "database" }

// Upstream dials the servers of one upstream block. It is safe for concurrent use.
type Upstream struct {
	// Fixed at creation.
	cfg     Config
	base    *pgconn.Config
	hosts   []host
	fitness func(serverState) fitness

	gates  gates
	probes probes
}

// New checks cfg. It connects to nothing.
func New(cfg Config) (*Upstream, error) {
	u, err := build(cfg)
	if err != nil {
		return nil, fmt.Errorf("upstream %q: %w", cfg.Name, err)
	}
	return u, nil
}

func build(cfg Config) (*Upstream, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	fitness, err := fitnessOf(cfg.Target)
	if err != nil {
		return nil, err
	}
	hosts, err := parseHosts(cfg.Hosts)
	if err != nil {
		return nil, err
	}
	base, err := baseConfig()
	if err != nil {
		return nil, err
	}
	return &Upstream{cfg: cfg, base: base, hosts: hosts, fitness: fitness}, nil
}

// complete sets the defaults and reports what is missing.
func (c *Config) complete() error {
	if c.Target == "" {
		c.Target = TargetAny
	}
	if c.Negotiation == "" {
		c.Negotiation = NegotiatePostgres
	}
	if c.Lookup == nil {
		c.Lookup = net.DefaultResolver.LookupHost
	}
	switch {
	case len(c.Hosts) == 0:
		return errors.New("no hosts")
	case c.RootCAs == nil:
		return errors.New("no root CAs")
	case c.Credential == nil:
		return errors.New("no credential")
	case c.ConnectTimeout <= 0:
		return errors.New("no connect timeout")
	case c.Negotiation != NegotiatePostgres && c.Negotiation != NegotiateDirect:
		return fmt.Errorf("unknown negotiation %q", c.Negotiation)
	}
	return nil
}

// Close cancels the attempts that Dial left behind and waits for them. Connections that Dial
// returned stay open.
func (u *Upstream) Close() { u.probes.close() }

// maxName is the longest role or database name in bytes: PostgreSQL's NAMEDATALEN less its NUL.
const maxName = 63

// check refuses what cannot be a login. A NUL would begin another start-up parameter (W11, T30).
func (l Login) check() error {
	if !validName(l.Role) || !validName(l.Database) && !(l.Database == "" && l.physical()) {
		return newError(pgwire.InvalidAuthorizationSpecification, ReasonRole, "the role or database name is not valid",
			errors.New("role or database name is empty, longer than 63 bytes or holds NUL"))
	}
	for _, p := range l.Params {
		if p.Name == "" || strings.ContainsRune(p.Name+p.Value, 0) {
			return newError(pgwire.InvalidParameterValue, ReasonRole, "a start-up parameter is not valid",
				errors.New("start-up parameter without a name or with NUL"))
		}
	}
	return nil
}

func validName(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsRune(s, 0)
}
