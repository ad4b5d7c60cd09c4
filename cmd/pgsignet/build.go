package main

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker"
	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/broker/downstream"
	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/broker/stamp"
	"github.com/pgsignet/pgsignet/broker/trust"
)

// This file turns a checked configuration into what package broker is made of.

// openAudit starts the process's audit stream.
func openAudit(cfg *config.Config) (*audit.Log, error) {
	log, err := audit.Open(audit.Config{
		Directory: cfg.Audit.Directory, Node: cfg.Node, Delivery: audit.Delivery(cfg.Audit.Delivery),
		SegmentSize: cfg.Audit.SegmentSize, SegmentAge: cfg.Audit.SegmentAge,
		MaxStatementBytes: int(cfg.Audit.MaxStatementBytes), CheckpointKey: cfg.Audit.CheckpointKey,
		Redact: cfg.Audit.Redact,
	})
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return log, nil
}

// brokerConfig is what stays for the life of the process.
func brokerConfig(cfg *config.Config, log *zap.Logger, trail *audit.Log, crowd *crowd) broker.Config {
	c := broker.Config{
		Node: cfg.Node, Audit: trail, AuditLevel: audit.Level(cfg.Audit.Level), Log: log,
		DrainTimeout: cfg.Shutdown.DrainTimeout, UpgradeTimeout: cfg.Shutdown.UpgradeTimeout, Version: readBuildInfo().Version, LocksFile: cfg.Admin.LocksFile,
	}
	shared := newHandshakes(crowd, handshakeShare())
	for i := range cfg.Listeners {
		c.Listeners = append(c.Listeners, brokerListener(&cfg.Listeners[i], shared))
	}
	return c
}

// brokerListener is a listener whose handshakes share a cap with others, unless its own is lower.
func brokerListener(l *config.Listener, shared *handshakes) broker.Listener {
	admission := downstream.Config{
		HandshakeTimeout: l.HandshakeTimeout, WriteTimeout: l.WriteTimeout,
		PlaintextCancel: l.PlaintextCancel, ProxyProtocol: l.ProxyProtocol, Handshakes: shared,
	}
	if l.MaxHandshakes < handshakeShare() {
		admission.Handshakes = shared.fewer(l.MaxHandshakes)
	}
	return broker.Listener{
		Name: l.Name, Address: l.Address, ReusePort: l.ReusePort, Admission: admission,
		MaxClients: l.MaxClients, HalfOpen: l.HalfOpen, HalfOpenPerAddress: l.HalfOpenPerAddress,
		LoginBackoff:             l.LoginBackoff,
		IdleInTransactionTimeout: l.IdleInTransactionTimeout, OpenBatchTimeout: l.OpenBatchTimeout,
	}
}

// newSnapshot builds all that a reload replaces, around what the listeners shall trust. Every error is
// reported, not just the first. trail returns the audit that mints are recorded in, once a login
// needs it.
func newSnapshot(cfg *config.Config, trusted map[string]*trust.Snapshot, trail func() *audit.Log, prev *broker.Snapshot) (*broker.Snapshot, error) {
	s := &broker.Snapshot{
		Policy: cfg.Policy(), SHA256: cfg.SHA256, Catalog: catalog(cfg),
		Trust:     trusted,
		Expiry:    make(map[string]broker.Expiry),
		Upstreams: make(map[string]*broker.Upstream),

		IdentityKeys: make(map[string]*stamp.Key),
	}
	var errs []error
	if cfg.Shadow != nil {
		s.Shadow = &broker.Shadow{Policy: cfg.Shadow.Policy(), Databases: databaseNames(cfg.Shadow), SHA256: cfg.Shadow.SHA256}
	}
	s.Databases = databaseNames(cfg)
	for _, d := range cfg.Databases {
		if d.IdentityKey == "" {
			continue
		}
		key, err := loadIdentityKey(d.IdentityKey)
		if err != nil {
			errs = append(errs, fmt.Errorf("database %q: %w", d.Name, err))
			continue
		}
		s.IdentityKeys[d.Name] = key
	}
	for i := range cfg.Listeners {
		l := &cfg.Listeners[i]
		s.Expiry[l.Name] = broker.Expiry{End: l.OnExpiry, Notice: l.ExpiryNotice}
	}
	for i := range cfg.Upstreams {
		u, err := brokerUpstream(&cfg.Upstreams[i], trail, prev)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.Upstreams[cfg.Upstreams[i].Name] = u
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, s.CheckSeparation()
}

// databaseNames are the names of databases, without "*", in the files' order.
func databaseNames(cfg *config.Config) []string {
	var names []string
	for _, d := range cfg.Databases {
		if d.Name != "*" {
			names = append(names, d.Name)
		}
	}
	return names
}

func trustConfig(l *config.Listener, oids []string) trust.Config {
	c := trust.Config{
		Listener: l.Name, CertFile: l.CertFile, KeyFile: l.KeyFile,
		ClientCA: l.ClientCA, CRL: l.CRL, CRLPolicy: l.CRLPolicy, CRLGrace: l.CRLGrace,
		OCSP: l.OCSP, MinTLS: l.MinTLS, SessionTickets: l.SessionTickets, OCSPStaple: l.OCSPStaple,
		MappedOIDs: oids,
	}
	if l.SPIFFE != nil {
		c.SPIFFE, c.WorkloadAPI = l.SPIFFE.Bundles, l.SPIFFE.WorkloadAPI
	}
	return c
}

func brokerPool(u *config.Upstream) broker.Pool {
	p := broker.Pool{
		Share: u.Pool.Share, ResetTimeout: u.Pool.ResetTimeout, ResetAlways: u.Pool.Reset == "always",
		Prepared: u.Pool.PreparedStatements, LoginCheck: u.Pool.LoginCheck, EvictOnDrop: u.Pool.EvictOnDrop,
		Pins: &relay.PinLimit{Max: int64(u.Pool.MaxPinned)},
		Limits: pool.Limits{
			Size: u.Pool.Size, MinIdle: u.Pool.MinIdle, UpstreamMax: u.MaxConnections,
			WaitTimeout: u.Pool.WaitTimeout, IdleTimeout: u.Pool.IdleTimeout, MaxLifetime: u.Pool.MaxLifetime,
		},
	}
	if u.Pool.Mode == "transaction" {
		p.Mode = relay.TransactionMode
	}
	return p
}
