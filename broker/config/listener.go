package config

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/hcl/v2"
)

type listenerBlock struct {
	Name string `hcl:"name,label"`

	Address        *hcl.Attribute `hcl:"address,optional"`
	Socket         *hcl.Attribute `hcl:"socket,optional"`
	ReusePort      *hcl.Attribute `hcl:"reuse_port,optional"`
	CertFile       *hcl.Attribute `hcl:"cert_file"`
	KeyFile        *hcl.Attribute `hcl:"key_file"`
	ClientCA       *hcl.Attribute `hcl:"client_ca,optional"`
	CRL            *hcl.Attribute `hcl:"crl,optional"`
	CRLPolicy      *hcl.Attribute `hcl:"crl_policy,optional"`
	CRLGrace       *hcl.Attribute `hcl:"crl_grace,optional"`
	OCSP           *hcl.Attribute `hcl:"ocsp,optional"`
	MinTLS         *hcl.Attribute `hcl:"min_tls,optional"`
	OnExpiry       *hcl.Attribute `hcl:"on_expiry,optional"`
	ExpiryNotice   *hcl.Attribute `hcl:"expiry_notice,optional"`
	SessionTickets *hcl.Attribute `hcl:"session_tickets,optional"`
	OCSPStaple     *hcl.Attribute `hcl:"ocsp_staple,optional"`

	MaxClients         *hcl.Attribute `hcl:"max_clients,optional"`
	MaxHandshakes      *hcl.Attribute `hcl:"max_handshakes,optional"`
	HalfOpen           *hcl.Attribute `hcl:"half_open,optional"`
	HalfOpenPerAddress *hcl.Attribute `hcl:"half_open_per_address,optional"`
	ProxyProtocol      *hcl.Attribute `hcl:"proxy_protocol,optional"`
	PlaintextCancel    *hcl.Attribute `hcl:"plaintext_cancel,optional"`
	Admin              *hcl.Attribute `hcl:"admin,optional"`

	HandshakeTimeout         *hcl.Attribute `hcl:"handshake_timeout,optional"`
	LoginBackoff             *hcl.Attribute `hcl:"login_backoff,optional"`
	WriteTimeout             *hcl.Attribute `hcl:"write_timeout,optional"`
	OpenBatchTimeout         *hcl.Attribute `hcl:"open_batch_timeout,optional"`
	IdleInTransactionTimeout *hcl.Attribute `hcl:"idle_in_transaction_timeout,optional"`

	SPIFFE *spiffeBlock `hcl:"spiffe,block"`

	DefRange hcl.Range `hcl:",def_range"`

	trusted []placed // the anchors of client_ca and of every bundle, once read
}

type spiffeBlock struct {
	WorkloadAPI  *hcl.Attribute     `hcl:"workload_api,optional"`
	TrustDomains []trustDomainBlock `hcl:"trust_domain,block"`
	DefRange     hcl.Range          `hcl:",def_range"`

	anchors []placed // of every bundle, once read
}

type trustDomainBlock struct {
	Name     string         `hcl:"name,label"`
	Bundle   *hcl.Attribute `hcl:"bundle"`
	DefRange hcl.Range      `hcl:",def_range"`
}

// maxConnections bounds every count of connections: a mistyped digit should not end in 10^9 buffers.
const maxConnections = 1_000_000

func (d *decoder) listener(b *listenerBlock) Listener {
	l := Listener{
		Name:      b.Name,
		Address:   d.hostPort(b.Address, ""),
		Socket:    d.need(b.Socket),
		ReusePort: d.boolean(b.ReusePort, false),
	}
	d.listenerTrust(b, &l)
	d.listenerFiles(b, &l)
	d.listenerLimits(b, &l)
	// The Workload API also gives the listener a certificate; a key alone is still half a pair.
	if b.SPIFFE == nil || b.SPIFFE.WorkloadAPI == nil || b.CertFile != nil || b.KeyFile != nil {
		d.required(b.DefRange, b.CertFile, "cert_file", `"pki/server.crt"`)
		d.required(b.DefRange, b.KeyFile, "key_file", `"pki/server.key"`)
	}
	if b.Address == nil && b.Socket == nil {
		d.errorf(b.DefRange, "Missing address", "Listener %q needs an address such as \"127.0.0.1:6432\", or the name of a systemd socket.", b.Name)
	}
	if b.ClientCA == nil && b.SPIFFE == nil {
		d.errorf(b.DefRange, "Missing client_ca", "Listener %q needs client_ca = [\"FILE\"], the CAs that sign its clients' certificates, or a spiffe block.", b.Name)
	}
	return l
}

// listenerFiles reads what the listener trusts and shows.
func (d *decoder) listenerFiles(b *listenerBlock, l *Listener) {
	cert, key := d.file(b.CertFile), d.file(b.KeyFile)
	l.CertFile, l.KeyFile = cert.path, key.path
	if b.CertFile != nil {
		d.serverCertificate("The server certificate", cert, key)
	}

	cas, crls := d.files(b.ClientCA), d.files(b.CRL)
	l.ClientCA, l.CRL = names(cas), names(crls)
	b.trusted = d.anchors("The client CA", cas)
	if b.SPIFFE != nil {
		l.SPIFFE = d.spiffe(b.SPIFFE)
	}
	if b.SPIFFE != nil {
		b.trusted = append(b.trusted, b.SPIFFE.anchors...)
	}
	d.clientCAs = append(d.clientCAs, b.trusted...)
	d.crls(crls, b.trusted, l.CRLPolicy)
}

func (d *decoder) listenerTrust(b *listenerBlock, l *Listener) {
	l.CRLPolicy = d.choice(b.CRLPolicy, "grace", "strict", "warn")
	l.CRLGrace = d.duration(b.CRLGrace, 24*time.Hour, 0)
	l.OCSP = d.choice(b.OCSP, "off", "lax", "strict")
	l.MinTLS = tls.VersionTLS12
	if d.choice(b.MinTLS, "1.2", "1.3") == "1.3" {
		l.MinTLS = tls.VersionTLS13
	}
	l.SessionTickets = d.boolean(b.SessionTickets, false)
	l.OCSPStaple = d.boolean(b.OCSPStaple, true)
	l.OnExpiry = d.choice(b.OnExpiry, "disconnect", "drain", "allow")
	l.ExpiryNotice = d.duration(b.ExpiryNotice, 72*time.Hour, 0)
}

func (d *decoder) listenerLimits(b *listenerBlock, l *Listener) {
	l.MaxClients = d.number(b.MaxClients, 10_000, 1, maxConnections)
	l.MaxHandshakes = d.number(b.MaxHandshakes, 64, 1, maxConnections)
	l.HalfOpen = d.number(b.HalfOpen, 1000, 1, maxConnections)
	l.HalfOpenPerAddress = d.number(b.HalfOpenPerAddress, 100, 1, maxConnections)
	l.ProxyProtocol = d.prefixes(b.ProxyProtocol)
	l.PlaintextCancel = d.boolean(b.PlaintextCancel, true)
	l.Admin = d.boolean(b.Admin, false)
	l.HandshakeTimeout = d.duration(b.HandshakeTimeout, 10*time.Second, 100*time.Millisecond)
	l.LoginBackoff = d.duration(b.LoginBackoff, 0, 0)
	l.WriteTimeout = d.duration(b.WriteTimeout, time.Minute, 100*time.Millisecond)
	l.OpenBatchTimeout = d.duration(b.OpenBatchTimeout, time.Minute, 100*time.Millisecond)
	l.IdleInTransactionTimeout = d.duration(b.IdleInTransactionTimeout, 0, 0)
}

func (d *decoder) spiffe(b *spiffeBlock) *SPIFFE {
	s := &SPIFFE{WorkloadAPI: d.need(b.WorkloadAPI), Bundles: map[string][]string{}}
	if b.WorkloadAPI == nil && len(b.TrustDomains) == 0 {
		d.errorf(b.DefRange, "Empty spiffe block", "Name a workload_api socket, or a bundle: trust_domain \"prod.example\" { bundle = [\"FILE\"] }.")
	}
	if s.WorkloadAPI != "" {
		d.workloadAPI(b.WorkloadAPI, s.WorkloadAPI)
	}
	for _, td := range b.TrustDomains {
		if _, dup := s.Bundles[td.Name]; dup {
			d.errorf(td.DefRange, "Duplicate trust domain", "This spiffe block already names %q; put all its bundle files in one list.", td.Name)
			continue
		}
		if !validTrustDomain(td.Name) {
			d.errorf(td.DefRange, "Not a trust domain", "A SPIFFE trust domain is 1 to 255 of a-z, 0-9, '.', '_' and '-', without spiffe:// or a path, not %q.", td.Name)
		}
		d.required(td.DefRange, td.Bundle, "bundle", `["pki/bundle.crt"]`)
		bundle := d.files(td.Bundle)
		s.Bundles[td.Name] = names(bundle)
		b.anchors = append(b.anchors, d.anchors("The SPIFFE bundle's CA", bundle)...)
	}
	return s
}

// hostPort checks that the attribute is HOST:PORT, with a numeric port; def when it is absent.
func (d *decoder) hostPort(a *hcl.Attribute, def string) string {
	if a == nil {
		return def
	}
	s := d.need(a)
	if s == "" {
		return def
	}
	if err := checkHostPort(s); err != nil {
		d.errorf(a.Expr.Range(), "Not an address", "%s %v.", a.Name, err)
		return def
	}
	return s
}

func checkHostPort(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("takes HOST:PORT such as \"127.0.0.1:6432\" or \"[::1]:6432\", not %q", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("needs a port number from 0 to 65535, not %q", port)
	}
	return nil
}
