package upstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
)

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

// candidate is one address to try.
type candidate struct {
	host host
	addr string // ip:port
}

// secrets is what the credential yields for one Dial.
type secrets struct {
	cert     *tls.Certificate // nil: none
	password string           // "": the login is the certificate's
}

// search is one Dial under way.
type search struct {
	u       *Upstream
	login   Login
	secrets secrets

	spare  *Conn // fits, but a later one may fit better
	failed attempts
}

// Dial logs in to the first host that takes the login and fits the target. Addresses that did not
// fit a moment ago are tried last; one that fails is left alone for a while and then tried by one
// dial at a time, which does not wait for it long. The error is always a *LoginError.
func (u *Upstream) Dial(ctx context.Context, l Login) (*Conn, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	secrets, err := u.secrets(l.Role)
	if err != nil {
		return nil, asLoginError(err, "")
	}
	s := &search{u: u, login: l, secrets: secrets}
	if c := s.run(ctx); c != nil {
		return c, nil
	}
	if ctx.Err() != nil {
		return nil, unreachable(context.Cause(ctx))
	}
	return nil, s.failed.speaker()
}

func (u *Upstream) secrets(role string) (s secrets, err error) {
	if s.cert, err = u.cfg.Credential.TLSCertificate(role); err != nil {
		return s, err
	}
	s.password, err = u.cfg.Credential.Password(role)
	return s, err
}

// run tries all hosts; nil when none will do.
func (s *search) run(ctx context.Context) *Conn {
	var last []candidate
	for _, h := range s.u.hosts {
		for _, c := range s.resolve(ctx, h) {
			if s.u.gates.misfit(c.addr) {
				last = append(last, c)
			} else if s.try(ctx, c) {
				return s.spare
			}
		}
	}
	for _, c := range last {
		if s.try(ctx, c) {
			return s.spare
		}
	}
	return s.spare
}

// resolve returns the addresses of h, looked up anew. A name that does not resolve is left alone
// like an address that does not answer.
func (s *search) resolve(ctx context.Context, h host) []candidate {
	if net.ParseIP(h.name) != nil {
		return []candidate{{h, net.JoinHostPort(h.name, h.port)}}
	}
	addrs, err := guarded(ctx, s.u, "lookup "+h.name, func(ctx context.Context) ([]string, error) {
		addrs, err := s.u.cfg.Lookup(ctx, h.name)
		if err != nil {
			return nil, asLoginError(err, h.name)
		}
		return addrs, nil
	}, func([]string) {})
	if err != nil {
		s.failed.add(err)
	}
	list := make([]candidate, len(addrs))
	for i, addr := range addrs {
		list[i] = candidate{h, net.JoinHostPort(addr, h.port)}
	}
	return list
}

// try logs in to c and reports whether the search is over.
func (s *search) try(ctx context.Context, c candidate) bool {
	conn, err := guarded(ctx, s.u, c.addr, func(ctx context.Context) (*Conn, error) {
		return s.u.attempt(ctx, c, s.login, s.secrets)
	}, func(late *Conn) { late.Close() })
	if err != nil {
		s.failed.add(err)
		return ctx.Err() != nil
	}
	fit := s.u.fitness(conn.state)
	if fit != fits {
		s.u.gates.setMisfit(c.addr)
	}
	return s.judge(c, conn, fit)
}

// judge keeps conn if it is the best so far, and reports whether nothing better can come.
func (s *search) judge(c candidate, conn *Conn, fit fitness) bool {
	switch {
	case fit == fits:
		if s.spare != nil {
			s.spare.Close()
		}
		s.spare = conn
	case fit == fallback && s.spare == nil:
		s.spare = conn
	default:
		conn.Close()
		s.failed.add(misfit(c.addr, s.u.cfg.Target, conn.state))
	}
	return fit == fits
}
