package config

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/pgsignet/pgsignet/policy"
)

type upstreamBlock struct {
	Name string `hcl:"name,label"`

	Hosts          *hcl.Attribute `hcl:"hosts"`
	Target         *hcl.Attribute `hcl:"target,optional"`
	CAFile         *hcl.Attribute `hcl:"ca_file"`
	ServerName     *hcl.Attribute `hcl:"server_name,optional"`
	Negotiation    *hcl.Attribute `hcl:"negotiation,optional"`
	ConnectTimeout *hcl.Attribute `hcl:"connect_timeout,optional"`
	MaxConnections *hcl.Attribute `hcl:"max_connections,optional"`

	Credentials []credentialBlock `hcl:"credential,block"`
	Pool        *poolBlock        `hcl:"pool,block"`

	DefRange hcl.Range `hcl:",def_range"`
}

type credentialBlock struct {
	Kind      string    `hcl:"kind,label"`
	KindRange hcl.Range `hcl:"kind,label_range"`
	Body      hcl.Body  `hcl:",remain"`
	DefRange  hcl.Range `hcl:",def_range"`
}

type certificateBlock struct {
	CertFile *hcl.Attribute `hcl:"cert_file"`
	KeyFile  *hcl.Attribute `hcl:"key_file"`
}

type issuerBlock struct {
	CertFile       *hcl.Attribute `hcl:"cert_file"`
	KeyFile        *hcl.Attribute `hcl:"key_file"`
	Lifetime       *hcl.Attribute `hcl:"lifetime,optional"`
	MintsPerMinute *hcl.Attribute `hcl:"mints_per_minute,optional"`
}

type passwordBlock struct {
	File *hcl.Attribute `hcl:"file"`
}

type poolBlock struct {
	Mode               *hcl.Attribute `hcl:"mode,optional"`
	Share              *hcl.Attribute `hcl:"share,optional"`
	Size               *hcl.Attribute `hcl:"size,optional"`
	MinIdle            *hcl.Attribute `hcl:"min_idle,optional"`
	WaitTimeout        *hcl.Attribute `hcl:"wait_timeout,optional"`
	IdleTimeout        *hcl.Attribute `hcl:"idle_timeout,optional"`
	MaxLifetime        *hcl.Attribute `hcl:"max_lifetime,optional"`
	Reset              *hcl.Attribute `hcl:"reset,optional"`
	ResetTimeout       *hcl.Attribute `hcl:"reset_timeout,optional"`
	MaxPinned          *hcl.Attribute `hcl:"max_pinned,optional"`
	LoginCheck         *hcl.Attribute `hcl:"login_check,optional"`
	EvictOnDrop        *hcl.Attribute `hcl:"evict_on_drop,optional"`
	PreparedStatements *hcl.Attribute `hcl:"prepared_statements,optional"`
	DefRange           hcl.Range      `hcl:",def_range"`
}

func (d *decoder) upstream(b *upstreamBlock) Upstream {
	d.required(b.DefRange, b.Hosts, "hosts", `["db1.example.com:5432"]`)
	d.required(b.DefRange, b.CAFile, "ca_file", `"pki/postgres-ca.crt"`)
	ca := d.file(b.CAFile)
	if b.CAFile != nil {
		d.serverCAs = append(d.serverCAs, d.anchors("The server CA", []file{ca})...)
	}
	return Upstream{
		Name:           b.Name,
		Hosts:          d.hosts(b.Hosts),
		Target:         d.choice(b.Target, "any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
		CAFile:         ca.path,
		ServerName:     d.need(b.ServerName),
		Negotiation:    d.choice(b.Negotiation, "postgres", "direct"),
		ConnectTimeout: d.duration(b.ConnectTimeout, 5*time.Second, 100*time.Millisecond),
		MaxConnections: d.number(b.MaxConnections, 60, 1, maxConnections),
		Credential:     d.credential(b),
		Pool:           d.pool(b.Pool),
	}
}

// hosts is the list of HOST:PORT; without a port it is PostgreSQL's, 5432.
func (d *decoder) hosts(a *hcl.Attribute) []string {
	if a == nil {
		return nil
	}
	var out []string
	items := d.list(a)
	if elems, diags := hcl.ExprList(a.Expr); !diags.HasErrors() && len(elems) == 0 {
		d.errorf(a.Expr.Range(), "No host", "hosts needs at least one server, such as [\"db1.example.com:5432\"].")
	}
	for _, it := range items {
		if h, ok := d.host(it); ok {
			out = append(out, h)
		}
	}
	return out
}

func (d *decoder) host(it item) (string, bool) {
	if strings.HasPrefix(it.text, "/") || strings.HasPrefix(it.text, "@") {
		d.errorf(it.at, "Not a host", "PostgreSQL speaks no TLS on Unix sockets; write HOST:PORT instead of %q.", it.text)
		return "", false
	}
	host, port, err := net.SplitHostPort(it.text)
	if err != nil && !strings.ContainsAny(it.text, "[]") && (!strings.Contains(it.text, ":") || net.ParseIP(it.text) != nil) {
		host, port, err = it.text, "5432", nil
	}
	n, numErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numErr != nil || n == 0 || host == "" || strings.ContainsAny(host, "/, \t") {
		d.errorf(it.at, "Not a host", "hosts takes HOST:PORT such as \"db1.example.com:5432\" or \"[::1]:5432\", one server in each string, not %q.", it.text)
		return "", false
	}
	return net.JoinHostPort(host, port), true
}

// credential decodes the one credential block; its label says which attributes it takes.
func (d *decoder) credential(b *upstreamBlock) Credential {
	if len(b.Credentials) == 0 {
		d.errorf(b.DefRange, "Missing credential", "Upstream %q needs one credential block: \"certificate\", \"issuer\" or \"password\".", b.Name)
		return Credential{}
	}
	for _, extra := range b.Credentials[1:] {
		d.errorf(extra.DefRange, "Duplicate credential", "Upstream %q already logs in with credential %q; an upstream has one.", b.Name, b.Credentials[0].Kind)
	}
	c := &b.Credentials[0]
	switch c.Kind {
	case CredentialCertificate:
		return d.certificate(c)
	case CredentialIssuer:
		return d.issuer(c)
	case CredentialPassword:
		return d.password(c)
	}
	kinds := []string{CredentialCertificate, CredentialIssuer, CredentialPassword}
	d.errorf(c.KindRange, "Unknown credential", "A credential is one of %s, not %q.%s", strings.Join(kinds, ", "), c.Kind, policy.Suggest(c.Kind, kinds))
	return Credential{}
}

func (d *decoder) certificate(c *credentialBlock) Credential {
	var b certificateBlock
	d.decode(c.Body, &b)
	d.required(c.DefRange, b.CertFile, "cert_file", `"pki/broker.crt"`)
	d.required(c.DefRange, b.KeyFile, "key_file", `"pki/broker.key"`)
	cert, key := d.file(b.CertFile), d.file(b.KeyFile)
	d.clientCertificate("PostgreSQL", cert, key)
	return Credential{Kind: c.Kind, CertFile: cert.path, KeyFile: key.path}
}

func (d *decoder) issuer(c *credentialBlock) Credential {
	var b issuerBlock
	d.decode(c.Body, &b)
	d.required(c.DefRange, b.CertFile, "cert_file", `"pki/broker.crt"`)
	d.required(c.DefRange, b.KeyFile, "key_file", `"pki/broker.key"`)
	cert, key := d.file(b.CertFile), d.file(b.KeyFile)
	d.issuerCertificate(cert, key)
	return Credential{
		Kind:           c.Kind,
		CertFile:       cert.path,
		KeyFile:        key.path,
		Lifetime:       d.duration(b.Lifetime, 30*time.Minute, time.Second),
		MintsPerMinute: d.number(b.MintsPerMinute, 60, 1, maxConnections),
	}
}

func (d *decoder) password(c *credentialBlock) Credential {
	var b passwordBlock
	d.decode(c.Body, &b)
	d.required(c.DefRange, b.File, "file", `"secrets/{role}"`)
	f := d.file(b.File)
	d.passwordFile(f)
	return Credential{Kind: c.Kind, PasswordFile: f.path}
}

func (d *decoder) pool(b *poolBlock) Pool {
	if b == nil {
		b = &poolBlock{}
	}
	p := Pool{
		Mode:               d.choice(b.Mode, "session", "transaction"),
		Share:              d.choice(b.Share, "map", "role", "identity"),
		Size:               d.number(b.Size, 20, 1, maxConnections),
		MinIdle:            d.number(b.MinIdle, 0, 0, maxConnections),
		WaitTimeout:        d.duration(b.WaitTimeout, 30*time.Second, 0),
		IdleTimeout:        d.duration(b.IdleTimeout, 10*time.Minute, time.Second),
		MaxLifetime:        d.duration(b.MaxLifetime, time.Hour, time.Millisecond),
		Reset:              d.choice(b.Reset, "smart", "always"),
		ResetTimeout:       d.duration(b.ResetTimeout, 5*time.Second, 100*time.Millisecond),
		MaxPinned:          d.number(b.MaxPinned, 10, 0, maxConnections),
		LoginCheck:         d.duration(b.LoginCheck, 10*time.Second, 0),
		EvictOnDrop:        d.boolean(b.EvictOnDrop, false),
		PreparedStatements: d.number(b.PreparedStatements, 500, 0, maxConnections),
	}
	if b.MinIdle != nil && p.MinIdle > p.Size {
		d.errorf(b.MinIdle.Expr.Range(), "min_idle above size", "A pool of %d connections cannot keep %d idle.", p.Size, p.MinIdle)
	}
	return p
}
