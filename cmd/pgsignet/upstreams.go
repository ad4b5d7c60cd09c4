package main

import (
	"context"
	"fmt"
	"time"

	"github.com/pgsignet/pgsignet/broker"
	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/broker/upstream"
)

// cancelTimeout bounds a cancel request to a server.
const cancelTimeout = 10 * time.Second

// brokerUpstream builds an upstream. What is reached and logged in to as in the snapshot in force is
// that one's, with what it knows of its hosts and its minted certificates.
func brokerUpstream(u *config.Upstream, trail func() *audit.Log, prev *broker.Snapshot) (*broker.Upstream, error) {
	up := &broker.Upstream{
		Issuer: u.Credential.Kind == config.CredentialIssuer, Same: sameUpstream(*u),
		Pool: brokerPool(u), CancelTimeout: cancelTimeout,
	}
	if prev != nil {
		if old := prev.Upstreams[u.Name]; old != nil && old.Same == up.Same {
			up.Upstream, up.Files = old.Upstream, old.Files
			if up.Pool.Pins.Max == old.Pool.Pins.Max {
				up.Pool.Pins = old.Pool.Pins // with those that are counted
			}
			up.Files.Poke()
			return up, nil
		}
	}
	files, err := trust.NewUpstreamFiles(trust.UpstreamConfig{
		CAFile: u.CAFile, CertFile: u.Credential.CertFile, KeyFile: u.Credential.KeyFile, Issuer: up.Issuer,
	})
	if err != nil {
		return nil, fmt.Errorf("upstream %q: %w", u.Name, err)
	}
	credential, err := upstreamCredential(u, files, trail)
	if err != nil {
		return nil, fmt.Errorf("upstream %q: %w", u.Name, err)
	}
	up.Files = files
	up.Upstream, err = upstream.New(upstream.Config{
		Name: u.Name, Hosts: u.Hosts, Target: u.Target, ServerName: u.ServerName,
		Negotiation: u.Negotiation, RootCAs: files.Roots,
		Credential: credential, ConnectTimeout: u.ConnectTimeout,
	})
	return up, err
}

// sameUpstream is all of an upstream's block that its servers are reached and logged in by: not the
// pool, which changes under connections that exist.
func sameUpstream(u config.Upstream) string {
	u.Pool, u.MaxConnections = config.Pool{}, 0
	return fmt.Sprintf("%+v", u)
}

// upstreamCredential is how the broker logs in, with what the files hold at each login.
func upstreamCredential(u *config.Upstream, files *trust.UpstreamFiles, trail func() *audit.Log) (upstream.Credential, error) {
	switch c := u.Credential; c.Kind {
	case config.CredentialCertificate:
		return upstream.Certificate{Load: files.Certificate}, nil
	case config.CredentialIssuer:
		return upstream.NewIssuer(upstream.IssuerConfig{
			CA: files.Certificate, Lifetime: c.Lifetime, MintsPerMinute: c.MintsPerMinute,
			OnMint: func(m upstream.Mint) error { return recordMint(trail(), u.Name, m) },
		})
	case config.CredentialPassword:
		return upstream.PasswordFile{Path: c.PasswordFile, Read: trust.ReadSecret}, nil
	default:
		return nil, fmt.Errorf("credential %q is not known", c.Kind)
	}
}

// recordMint waits for the record of a mint as long as for one of a login.
func recordMint(trail *audit.Log, name string, m upstream.Mint) error {
	ctx, cancel := context.WithTimeout(context.Background(), mintRecordTimeout)
	defer cancel()
	return broker.RecordMint(ctx, trail, name, m)
}

// mintRecordTimeout bounds the wait for a disk that is stuck.
const mintRecordTimeout = 10 * time.Second
