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
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Values of Config.Target, as libpq's target_session_attrs.
const (
	TargetAny           = "any"
	TargetReadWrite     = "read-write"
	TargetReadOnly      = "read-only"
	TargetPrimary       = "primary"
	TargetStandby       = "standby"
	TargetPreferStandby = "prefer-standby"
)

// Values of Config.Negotiation, as libpq's sslnegotiation. Direct needs PostgreSQL 17.
const (
	NegotiatePostgres = "postgres"
	NegotiateDirect   = "direct"
)

// Config describes one upstream. All fields are required but Target, Negotiation and ServerName.
type Config struct {
	Name        string
	Hosts       []string // host:port, tried in order until one fits Target
	Target      string   // "" is TargetAny
	ServerName  string   // name or IP address to verify in the server's certificate; "": each host's own
	Negotiation string   // "" is NegotiatePostgres

	// RootCAs returns the CAs that vouch for the servers; read at every dial, so that a new file
	// counts from the next connection (T80). Never nil: that would mean the system's CAs (T69).
	RootCAs    func() *x509.CertPool
	Credential Credential

	ConnectTimeout time.Duration // for one address: TCP, TLS, login and checks
}

// Login is everything that a server fixes at login.
type Login struct {
	Role        string
	Database    string // may be empty for a physical replication connection
	Replication string // "" for none, "true" for physical, "database" for logical

	// Params are further start-up parameters. The broker chooses them: they run with the role's
	// rights before the client has said a word (W12).
	Params []pgwire.Param
}

// Upstream dials the servers of one upstream block. It is safe for concurrent use.
type Upstream struct {
	// Fixed at creation.
	cfg   Config
	base  *pgconn.Config
	hosts []host
}

// New checks cfg. It connects to nothing.
func New(cfg Config) (*Upstream, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("upstream %q: %w", cfg.Name, err)
	}
	hosts, err := parseHosts(cfg.Hosts)
	if err != nil {
		return nil, fmt.Errorf("upstream %q: %w", cfg.Name, err)
	}
	base, err := baseConfig()
	if err != nil {
		return nil, fmt.Errorf("upstream %q: %w", cfg.Name, err)
	}
	return &Upstream{cfg: cfg, base: base, hosts: hosts}, nil
}

func (c *Config) check() error {
	if c.Target == "" {
		c.Target = TargetAny
	}
	if c.Negotiation == "" {
		c.Negotiation = NegotiatePostgres
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
	case c.Target != TargetAny:
		return fmt.Errorf("unknown target %q", c.Target)
	}
	return nil
}

// host is one entry of Config.Hosts.
type host struct{ name, port string }

func parseHosts(list []string) ([]host, error) {
	hosts := make([]host, len(list))
	for i, s := range list {
		name, port, err := net.SplitHostPort(s)
		if err != nil {
			return nil, err
		}
		if name == "" || port == "" {
			return nil, fmt.Errorf("host %q: want host:port", s)
		}
		hosts[i] = host{name, port}
	}
	return hosts, nil
}

// Dial logs in to the first host that takes the login and fits the target. The error is always a
// *LoginError. It blocks for up to Config.ConnectTimeout a host.
func (u *Upstream) Dial(ctx context.Context, l Login) (*Conn, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	var first *LoginError
	for _, h := range u.hosts {
		c, err := u.attempt(ctx, h, l)
		if err == nil {
			return c, nil
		}
		if e := asLoginError(err, net.JoinHostPort(h.name, h.port)); first == nil {
			first = e
		}
	}
	return nil, first
}
