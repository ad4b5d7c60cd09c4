package broker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net/netip"
	"sort"
	"strings"
	"time"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/downstream"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// This file turns what the broker knows into audit records, field by field as docs/audit.md has it.

// recordWait is how long a login, a cancel request or a command waits for its record: a disk that does
// not answer may not hold up for good what it could also refuse. Statements wait as long as their session.
const recordWait = 10 * time.Second

// errSlowRecord ends such a wait. The record may yet become durable.
var errSlowRecord = errors.New("the audit's disk does not answer")

// withinRecordWait bounds ctx, for tests by less than recordWait.
func (s *Server) withinRecordWait(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, cmp.Or(time.Duration(s.recordWait.Load()), recordWait), errSlowRecord)
}

// opening is what the record of an admitted session says of every one: a client's or the console's.
func (s *session) opening() *audit.Record {
	d := s.decided.Load()
	s.setup.TLS = s.client.TLSTime
	return &audit.Record{
		Event: audit.SessionOpen, SID: s.id.String(),
		Client: auditClient(s.client), Cert: auditCert(d.identity, d.verified),
		Rule:      auditRule(d.grant.Rule, d.grant.Matched, d.grant.Captures, d.snapshot.SHA256),
		Requested: auditRequested(s.client.Startup),
		Granted:   &audit.Granted{Role: d.grant.Role, Expires: d.verified.NotAfter},
		Setup:     new(s.setup), // a copy: a reload decides again while the record is written
	}
}

func auditClient(c *downstream.Client) *audit.Client {
	a := &audit.Client{
		Addr: c.Addr.String(), Proxy: addrString(c.Proxy), Listener: c.Listener,
		DirectTLS: c.DirectTLS, Protocol: protocolName(c.Startup.Version),
	}
	a.App, _ = c.Startup.Get("application_name")
	auditTLS(a, &c.TLS)
	return a
}

func auditTLS(a *audit.Client, state *tls.ConnectionState) {
	if state == nil || state.Version == 0 {
		return
	}
	a.TLS = tlsVersion(state)
	a.Cipher = tls.CipherSuiteName(state.CipherSuite)
	a.Group = state.CurveID.String()
	a.ALPN, a.SNI = state.NegotiatedProtocol, state.ServerName
}

// tlsVersion is "1.2" or "1.3".
func tlsVersion(state *tls.ConnectionState) string {
	if state.Version == tls.VersionTLS13 {
		return "1.3"
	}
	return "1.2"
}

func protocolName(v pgwire.Version) string {
	if v >= pgwire.V32 {
		return "3.2"
	}
	return "3.0"
}

func addrString(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func auditCert(id *identity.Identity, v *trust.Verified) *audit.Cert {
	c := &audit.Cert{
		SHA256: id.SHA256, SPKISHA256: id.SPKISHA256, Serial: id.Serial,
		Issuer: id.Issuer, Subject: id.DN, CN: id.CN, O: id.O, OU: id.OU,
		Email: id.Email, DNS: id.DNS, URI: id.URI, SPIFFE: id.SPIFFE,
		NotBefore: id.NotBefore, NotAfter: id.NotAfter,
	}
	for _, ip := range id.IP {
		c.IP = append(c.IP, ip.String())
	}
	for oid, value := range stringExtensions(id, v) {
		c.Ext = append(c.Ext, audit.Pair{Name: oid, Value: value})
	}
	sort.Slice(c.Ext, func(i, j int) bool { return c.Ext[i].Name < c.Ext[j].Name })
	if v != nil {
		c.Revocation = v.Revocation
		for _, r := range v.Tolerated() {
			c.Tolerated = append(c.Tolerated, string(r))
		}
		if len(v.Anchors) > 0 {
			c.RootSHA256 = v.Anchors[0]
		}
	}
	return c
}

// stringExtensions are all that a rule could read, now or in a replay, mapped or not.
func stringExtensions(id *identity.Identity, v *trust.Verified) map[string]string {
	if v == nil {
		return id.Extension
	}
	return identity.Strings(v.Leaf)
}

func auditRequested(s *pgwire.Startup) *audit.Requested {
	r := &audit.Requested{User: s.User(), Database: s.Database()}
	for _, p := range s.Params {
		if p.Name != "user" && p.Name != "database" {
			r.Params = append(r.Params, audit.Pair{Name: p.Name, Value: recordable(p)})
		}
	}
	return r
}

// recordable is a start-up parameter's value without a token that somebody tries to pass off as his
// own: such a login is refused, and its record shall not hand the token on (A124).
func recordable(p pgwire.Param) string {
	set := []pgwire.Param{p}
	if p.Name == "options" {
		parsed, err := pgwire.ParseOptions(p.Value)
		if err != nil && strings.Contains(strings.ToLower(p.Value), "pgsignet") {
			return "***"
		}
		set = parsed
	}
	for _, s := range set {
		if pgwire.ForbiddenSetting(s.Name) && strings.HasPrefix(strings.ToLower(s.Name), "pgsignet") {
			return "-c pgsignet.token=***"
		}
	}
	return p.Value
}

func auditRule(r policy.RuleRef, matched, captures []string, sha string) *audit.Rule {
	return &audit.Rule{
		Kind: r.Kind.String(), Name: r.Name, File: r.File, Line: r.Line,
		Matched: matched, Captures: captures, ConfigSHA256: sha,
	}
}

// auditDenial is a refusal: as the client reads it, and with what only the administrator may know.
func auditDenial(stage string, told *pgwire.Error, err error) *audit.Denial {
	d := &audit.Denial{Stage: stage, Reason: told.Slug, SQLState: told.Code, Message: told.Message, Detail: err.Error()}
	if p, ok := errors.AsType[*policy.Denied](err); ok && p.Cause != "" {
		d.Detail = p.Cause
	}
	return d
}

func auditEnd(r *relay.Result, began time.Time) *audit.End {
	e := &audit.End{
		Reason: string(r.Reason), Duration: time.Since(began),
		Statements: r.Statements, Errors: r.Errors, Cancels: r.Cancels, Rows: r.RowsSent,
		BytesIn: r.BytesIn, BytesOut: r.BytesOut, Undoes: r.Undoes, Perhaps: r.Perhaps,
	}
	if r.Tell != nil {
		e.SQLState, e.Message = r.Tell.Code, r.Tell.Message
	}
	return e
}

// presentedCert describes a certificate that was not accepted, as far as it can be read: the
// fingerprint always, the names where they can be printed.
func presentedCert(state *tls.ConnectionState) *audit.Cert {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	leaf := state.PeerCertificates[0]
	c := &audit.Cert{
		SHA256: hexSHA256(leaf.Raw), SPKISHA256: hexSHA256(leaf.RawSubjectPublicKeyInfo),
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
	}
	if leaf.SerialNumber != nil {
		c.Serial = leaf.SerialNumber.Text(16)
	}
	c.Subject, _ = identity.FormatDN(leaf.RawSubject)
	c.Issuer, _ = identity.FormatDN(leaf.RawIssuer)
	return c
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
