package broker

import (
	"sync"
	"time"

	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// census remembers the certificates that were presented and believed, and what each rule has
// decided, for SHOW CERTS and SHOW MAPS. Safe for concurrent use.
type census struct {
	mu    sync.Mutex
	certs map[string]*seenCert // by SHA-256
	rules map[ruleKey]*ruleCount
}

// maxCerts bounds the memory: beyond it the certificates that were seen longest ago are forgotten.
const maxCerts = 10_000

type seenCert struct {
	admin.Cert
	id *identity.Identity
	v  *trust.Verified
}

type ruleKey struct {
	kind policy.Kind
	name string
}

type ruleCount struct {
	granted, refused int64
	last             time.Time
}

// granted counts a login that was let in.
func (c *census) granted(d *decision, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saw(d, now)
	r := c.rule(d.grant.Rule)
	r.granted, r.last = r.granted+1, now
}

// refused counts a login that was refused after its certificate had been believed.
func (c *census) refused(d *decision, rule *policy.RuleRef, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saw(d, now).Refused++
	if rule != nil {
		r := c.rule(*rule)
		r.refused, r.last = r.refused+1, now
	}
}

// revoked notes that a certificate was refused as revoked. One that was never believed is not kept:
// anybody can make those up.
func (c *census) disbelieved(sha256, reason string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.certs[sha256]
	if s == nil {
		return
	}
	s.Refused++
	s.LastSeen = now
	if reason == string(trust.RevokedCRL) || reason == string(trust.RevokedOCSP) {
		s.Revocation = "revoked"
	}
}

// saw returns the entry of a certificate. Called with mu.
func (c *census) saw(d *decision, now time.Time) *seenCert {
	id := d.identity
	s := c.certs[id.SHA256]
	if s == nil {
		if c.certs == nil {
			c.certs = make(map[string]*seenCert)
		}
		if len(c.certs) >= maxCerts {
			c.forget()
		}
		s = &seenCert{Cert: admin.Cert{
			SHA256: id.SHA256, Serial: id.Serial, Issuer: id.Issuer, Subject: id.DN, SPIFFE: id.SPIFFE, NotAfter: id.NotAfter,
		}}
		c.certs[id.SHA256] = s
	}
	s.id, s.v, s.Revocation, s.LastSeen = id, d.verified, d.verified.Revocation, now
	return s
}

// forget drops the certificate that was seen longest ago. Called with mu.
func (c *census) forget() {
	var oldest *seenCert
	for _, s := range c.certs {
		if oldest == nil || s.LastSeen.Before(oldest.LastSeen) {
			oldest = s
		}
	}
	delete(c.certs, oldest.SHA256)
}

func (c *census) rule(ref policy.RuleRef) *ruleCount {
	key := ruleKey{ref.Kind, ref.Name}
	r := c.rules[key]
	if r == nil {
		if c.rules == nil {
			c.rules = make(map[ruleKey]*ruleCount)
		}
		r = &ruleCount{}
		c.rules[key] = r
	}
	return r
}

// accepted counts a login that is let in.
func (s *session) accepted() {
	d := s.decided.Load()
	s.server.metrics.LoggedIn(d.grant.Rule.Name, time.Until(d.verified.NotAfter))
	s.server.census.granted(d, time.Now())
}

// counted adds a refusal to the census.
func (s *session) countRefusal(rule *policy.RuleRef, reason string) {
	now := time.Now()
	if d := s.decided.Load(); d != nil && d.identity != nil && d.verified != nil {
		s.server.census.refused(d, rule, now)
		return
	}
	if peers := s.client.TLS.PeerCertificates; len(peers) > 0 {
		s.server.census.disbelieved(hexSHA256(peers[0].Raw), reason, now)
	}
}
