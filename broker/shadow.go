package broker

import (
	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// Shadow is a second policy that decides every login, too, and changes nothing: where it differs is
// recorded.
type Shadow struct {
	Policy    *policy.Policy
	Databases []string // as Snapshot.Databases
	SHA256    string   // of its files
}

// shadowDecision is a shadow policy's decision that differs from the one in force.
type shadowDecision struct {
	access  policy.Access
	rule    *policy.RuleRef
	differs []string
	sha256  string
}

// compareShadow decides the login by the shadow policy and returns its decision if it differs.
func (s *session) compareShadow(d *decision, err error) *shadowDecision {
	shadow := d.snapshot.Shadow
	if shadow == nil {
		return nil
	}
	request := d.request
	var grant *policy.Grant
	id, other := identity.Extract(d.verified.Leaf, shadow.Policy.OIDs())
	if other == nil {
		id.Anchors = d.verified.Anchors
		request.Identity = id
		grant, other = s.ask(shadow.Policy, shadow.Databases, request)
	}
	v := &shadowDecision{access: policy.AccessOf(grant, other), sha256: shadow.SHA256}
	if v.differs = policy.AccessOf(d.grant, err).Differs(v.access); v.differs == nil {
		return nil
	}
	if denied, ok := other.(*policy.Denied); ok {
		v.rule = denied.Rule
	} else if grant != nil {
		v.rule = &grant.Rule
	} else if refused, ok := other.(shown); ok {
		v.access.Reason = refused.Reason()
	}
	return v
}

// noteShadow adds to a login's record what the shadow policy would have done, counts it and logs it.
func (s *session) noteShadow(record *audit.Record) {
	d := s.decided.Load()
	if d == nil || d.shadow == nil {
		return
	}
	v := d.shadow
	record.Shadow = &audit.Shadow{
		Verdict: verdictName(v.access.Granted), Differs: v.differs, Reason: v.access.Reason,
		Role: v.access.Role, Database: v.access.DBName, Admin: v.access.Admin,
	}
	if v.rule != nil {
		record.Shadow.Rule = auditRule(*v.rule, nil, nil, v.sha256)
	}
	s.server.metrics.ShadowDiffered(verdictName(v.access.Granted))
	s.server.log.Info("shadow policy differs", zap.Stringer("sid", s.id), zap.Strings("differs", v.differs),
		zap.String("verdict", verdictName(v.access.Granted)), zap.String("reason", v.access.Reason),
		zap.String("rule", v.access.Rule), zap.String("role", v.access.Role))
}

func verdictName(granted bool) string {
	if granted {
		return "granted"
	}
	return "refused"
}
