package broker

import (
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/broker/stamp"
	"github.com/pgsignet/pgsignet/pgwire"
)

// This file turns a grant into what the session's server connections are set up with: the client's
// settings, the map's, and the stamps.

// setupFor is the session's setup; startup are the settings that its client asked for.
func (s *session) setupFor(startup []pgwire.Param) relay.Setup {
	rules := &s.decided.Load().grant.Session
	setup := relay.Setup{Startup: startup, ReadOnly: rules.ReadOnly, StatementTimeout: rules.StatementTimeout}
	for _, p := range rules.Settings {
		setup.Fixed = append(setup.Fixed, pgwire.Param(p))
	}
	s.stamp(&setup)
	return setup
}

// refusedSetting is what a client reads when the server refuses the session's settings: the server's
// words where they are about a setting of the client's own. A map's settings are not its business (W16).
func refusedSetting(setup *relay.Setup, e *pgwire.Error) error {
	public := "the session's settings were refused by the database server"
	message := strings.ToLower(e.Message)
	for _, p := range setup.Startup {
		fixed := slices.ContainsFunc(setup.Fixed, func(f pgwire.Param) bool { return strings.EqualFold(f.Name, p.Name) })
		if !fixed && strings.Contains(message, `"`+strings.ToLower(p.Name)+`"`) {
			public = e.Message
		}
	}
	return &refusal{code: e.Code, reason: "startup_parameter", public: public, cause: e}
}

// walsenderParams are the start-up parameters of a walsender, which takes no settings later.
func walsenderParams(setup *relay.Setup) []pgwire.Param {
	params := slices.Concat(setup.Startup, setup.Fixed)
	if setup.ReadOnly {
		params = append(params, pgwire.Param{Name: "default_transaction_read_only", Value: "on"})
	}
	return params
}

// defaultStamps are a session's in session mode when its map names none (W92).
var defaultStamps = []string{"session", "identity", "map"}

// stamp adds the map's stamps to the setup. In transaction mode none are a default: each costs a
// round trip whenever a server connection changes hands.
func (s *session) stamp(setup *relay.Setup) {
	g := s.decided.Load().grant
	stamps := g.Session.Stamp
	if !g.Session.StampSet && s.mode() == relay.SessionMode {
		stamps = defaultStamps
	}
	for _, name := range stamps {
		switch name {
		case "session":
			setup.Labels = append(setup.Labels, pgwire.Param{Name: "pgsignet.session", Value: s.id.String()})
		case "identity":
			setup.Labels = append(setup.Labels, pgwire.Param{Name: "pgsignet.identity", Value: g.IdentityKey})
		case "map":
			setup.Labels = append(setup.Labels, pgwire.Param{Name: "pgsignet.map", Value: g.Rule.Name})
		case "application_name":
			setup.AppStamp = " #" + s.id.short()
		case "token":
			setup.Token = s.tokenSource()
		}
	}
}

// tokenSource signs the session's identity for whichever backend serves it; nil when the database has
// no key, which a checked configuration does not allow.
func (s *session) tokenSource() func(pid uint32) string {
	d := s.decided.Load()
	key := d.snapshot.IdentityKeys[d.grant.Database]
	if key == nil {
		key = d.snapshot.IdentityKeys["*"]
	}
	if key == nil {
		return nil
	}
	claim := stamp.Claim{Expires: s.expires(d), Role: d.grant.Role, Identity: d.grant.IdentityKey}
	return func(pid uint32) string {
		claim := claim
		claim.PID = pid
		return key.Token(claim)
	}
}

// expires is the end of the grant: that of the certificate's chain, or of the longest session.
func (s *session) expires(d *decision) time.Time {
	end := d.verified.NotAfter
	if longest := d.grant.Session.MaxDuration; longest > 0 {
		if limit := s.began.Add(longest); limit.Before(end) {
			end = limit
		}
	}
	return end
}

// short is the end of the id, 12 hex digits of its random part.
func (id SessionID) short() string { return hex.EncodeToString(id[10:]) }
