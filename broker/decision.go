package broker

import (
	"time"

	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// decision is everything that one login was decided on, and the outcome. It never changes.
type decision struct {
	snapshot *Snapshot
	verified *trust.Verified
	identity *identity.Identity
	request  policy.Request
	grant    *policy.Grant   // nil while only the certificate has been judged
	shadow   *shadowDecision // of the shadow policy, if it differs
}

// decide verifies the certificate and asks the policy, again when a reload came in between (T90).
func (s *session) decide() (stage string, err error) {
	for {
		snap := s.server.snapshot.Load()
		began := time.Now()
		s.at(pointDeciding)
		stage, err := s.decideBy(snap, began)
		s.setup.Policy = time.Since(began)
		s.at(pointDecided)
		if s.server.snapshot.Load() == snap {
			return stage, err
		}
	}
}

// decideBy leaves what it found in s.decided, also when it refuses: the audit wants to know.
func (s *session) decideBy(snap *Snapshot, now time.Time) (stage string, err error) {
	d := &decision{snapshot: snap}
	tls := &s.client.TLS
	if d.verified, err = snap.Trust[s.door.name].Verify(s.ctx, tls.PeerCertificates, tls.OCSPResponse, now); err != nil {
		return stageTLS, err
	}
	d.verified.Share(tls.PeerCertificates)
	if d.identity, err = d.verified.Identity(snap.Policy.OIDs()); err != nil {
		return stageTLS, err
	}
	d.request = s.policyRequest(d.identity, now)
	s.verified.Store(d.verified)
	if err := s.server.checkLocks(d); err != nil {
		s.decided.Store(d)
		return stagePolicy, err
	}
	d.grant, err = s.askPolicy(snap, d.request)
	d.shadow = s.compareShadow(d, err)
	s.decided.Store(d)
	if err != nil {
		return stagePolicy, err
	}
	return "", nil
}

// askPolicy decides the request by the policy in force.
func (s *session) askPolicy(snap *Snapshot, r policy.Request) (*policy.Grant, error) {
	return s.ask(snap.Policy, snap.Databases, r)
}

// ask decides the request.
func (s *session) ask(p *policy.Policy, databases []string, r policy.Request) (*policy.Grant, error) {
	if s.physicalReplication() {
		return p.DecidePhysical(r, databases)
	}
	return p.Decide(r)
}

func (s *session) physicalReplication() bool { return s.client.Startup.Replication() == "true" }

func (s *session) policyRequest(id *identity.Identity, now time.Time) policy.Request {
	start := s.client.Startup
	app, _ := start.Get("application_name")
	return policy.Request{
		Identity: id, Listener: s.door.name, Addr: s.client.Addr.Addr(),
		User: start.User(), Database: start.Database(), ApplicationName: app,
		Replication: start.Replication() != "", Now: now,
	}
}

// confirm is the last look before AuthenticationOk: the session has not been ended, and no reload
// since the decision has changed what it was granted (T90).
func (s *session) confirm() error {
	if ended := s.endedBy(); ended != nil {
		return endError(ended)
	}
	before := s.decided.Load()
	if err := s.server.checkLocks(before); err != nil {
		return err // it came after the decision, and may not have found the session (T90)
	}
	if s.server.snapshot.Load() == before.snapshot {
		return nil
	}
	if _, err := s.decide(); err != nil {
		return err
	}
	if !sameAccess(before, s.decided.Load()) {
		return endError(&relay.End{Reason: reasonPolicyChanged, Tell: policyChanged()})
	}
	return nil
}

// sameAccess says whether a session that was granted a may go on under b: what cannot change under
// a live session is the same (decision 6 in docs/architecture.md).
func sameAccess(was, is *decision) bool {
	a, b := was.grant, is.grant
	return a.Role == b.Role && a.Upstream == b.Upstream && a.DBName == b.DBName && a.Database == b.Database &&
		a.Replication == b.Replication && a.Admin == b.Admin && was.mode() == is.mode()
}

func policyChanged() *pgwire.Error {
	return &pgwire.Error{
		Severity: pgwire.Fatal, Code: pgwire.AdminShutdown, Slug: string(reasonPolicyChanged),
		Message: "terminating connection: access to this role or database was withdrawn",
	}
}
