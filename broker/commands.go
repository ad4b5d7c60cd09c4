package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/peer"
	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// operator is an administrator at the console: who the record names, and the admin.Broker of the
// session.
type operator struct {
	server *Server
	name   string       // in locks
	record audit.Record // what every record of an action begins with
}

func (o *operator) State() *admin.State { return o.server.state() }

// Do records a command and carries it out. In strict it is not carried out unless its record is
// durable within recordWait.
func (o *operator) Do(ctx context.Context, c admin.Command) (admin.Done, error) {
	trail := o.server.cfg.Audit
	if trail.Strict() {
		if err := o.announce(ctx, c); err != nil {
			return admin.Done{}, err
		}
	}
	done, err := o.perform(ctx, c)
	phase := audit.Phase("")
	if trail.Strict() {
		phase = audit.PhaseEnd
	}
	o.server.recordBestEffort(o.action(c, phase, &err))
	return done, err
}

// announce makes the start of a command durable. When it may yet become so, its end says that the command
// was not carried out.
func (o *operator) announce(ctx context.Context, c admin.Command) error {
	ctx, stop := o.server.withinRecordWait(ctx)
	defer stop()
	err := o.server.cfg.Audit.AppendDurable(ctx, o.action(c, audit.PhaseStart, nil))
	if err == nil {
		return nil
	}
	err = &refusal{code: pgwire.IOError, reason: "audit_failed", public: "the command cannot be recorded now", cause: err}
	if ctx.Err() != nil {
		o.server.recordBestEffort(o.action(c, audit.PhaseEnd, &err))
	}
	return err
}

// Denied records that a command was refused for want of the right.
func (o *operator) Denied(c admin.Command) {
	err := consoleError(pgwire.InsufficientPrivilege, "admin access needed")
	o.server.recordBestEffort(o.action(c, "", &err))
}

// action is the record of a command, with its outcome unless that is still to come.
func (o *operator) action(c admin.Command, phase audit.Phase, outcome *error) *audit.Record {
	r := o.record
	a := *r.Action
	a.Phase, a.Verb, a.Args = phase, c.Verb, c.Args()
	if outcome != nil {
		a.Result = "ok"
		if err := *outcome; err != nil {
			a.Result, a.Error = "failed", err.Error()
		}
	}
	r.Event, r.Action = audit.AdminAction, &a
	return &r
}

func (o *operator) perform(ctx context.Context, c admin.Command) (done admin.Done, err error) {
	s := o.server
	switch c.Verb {
	case "PAUSE", "RESUME", "RECONNECT", "KILL", "WAIT_CLOSE", "DISABLE", "ENABLE":
		return done, s.poolCommand(ctx, c)
	case "RELOAD":
		if s.cfg.Reload == nil {
			return done, consoleError(pgwire.FeatureNotSupported, "this broker has no files to reload")
		}
		return s.reload(ctx)
	case "SHUTDOWN":
		s.halt(c.Name)
		return done, nil
	case "KILL_CLIENT", "KILL SESSION":
		return s.killOne(c)
	case "KILL CERT":
		more, err := s.tellPeers(ctx, peer.Kill, &admin.Lock{Target: c.Target})
		return admin.Done{Count: s.killCert(c.Target) + more, Counted: true, Notice: untold(err)}, nil
	case "LOCK CERT":
		return s.lock(ctx, c, o.name)
	case "UNLOCK CERT":
		return s.unlock(ctx, c)
	}
	return done, consoleError(pgwire.FeatureNotSupported, c.Verb+" is not supported")
}

// reload is RELOAD. Its notice says what of it is not in force yet, or not everywhere.
func (s *Server) reload(ctx context.Context) (done admin.Done, err error) {
	later, err := s.cfg.Reload(ctx)
	if err != nil {
		return done, consoleError(pgwire.ObjectNotInPrerequisiteState, "reload refused, nothing has changed: "+err.Error())
	}
	var notes []string
	if len(later) > 0 {
		notes = append(notes, "takes effect at the next start: "+strings.Join(later, "; "))
	}
	if err := s.ReloadPeers(ctx); err != nil {
		notes = append(notes, "a process that drains after an upgrade has not reloaded: "+err.Error())
	}
	done.Notice = strings.Join(notes, "; ")
	return done, nil
}

func consoleError(code, text string) error {
	return &refusal{code: code, reason: "console", public: text}
}

// scope is what a command's database name means to the pools; no name means everything.
func (s *Server) scope(name string) (pool.Scope, error) {
	if name == "" {
		return pool.Scope{}, nil
	}
	d, ok := s.snapshot.Load().Catalog.database(name)
	if !ok {
		return pool.Scope{}, consoleError(pgwire.InvalidCatalogName, "no such database: "+name)
	}
	return pool.Scope{Upstream: d.Upstream, Database: d.DBName}, nil
}

func (s *Server) poolCommand(ctx context.Context, c admin.Command) error {
	if c.Name != "" && s.snapshot.Load().Catalog.isConsole(c.Name) {
		return consoleError(pgwire.ObjectNotInPrerequisiteState, fmt.Sprintf("cannot %s admin db: %s", strings.ToLower(c.Verb), c.Name))
	}
	scope, err := s.scope(c.Name)
	if err != nil {
		return err
	}
	switch c.Verb {
	case "PAUSE":
		switch err := s.pools.Pause(ctx, scope); {
		case errors.Is(err, pool.ErrPaused):
			return consoleError(pgwire.ObjectNotInPrerequisiteState, "already suspended/paused")
		case errors.Is(err, pool.ErrResumed):
			return consoleError(pgwire.ObjectNotInPrerequisiteState, err.Error())
		default:
			return err
		}
	case "RESUME":
		if !s.pools.Resume(scope) {
			if c.Name == "" {
				return consoleError(pgwire.ObjectNotInPrerequisiteState, "pooler is not paused/suspended")
			}
			return consoleError(pgwire.ObjectNotInPrerequisiteState, "database "+c.Name+" is not paused")
		}
	case "RECONNECT":
		s.pools.Reconnect(scope)
	case "WAIT_CLOSE":
		return s.pools.WaitClose(ctx, scope)
	case "DISABLE":
		s.pools.Disable(scope)
	case "ENABLE":
		s.pools.Enable(scope)
	case "KILL":
		s.endWhere(func(d *decision, _ *session) bool {
			return d.grant.Admin == "" && scope.Contains(pool.Key{Upstream: d.grant.Upstream, Database: d.grant.DBName})
		}, killed())
		s.pools.Kill(scope)
	}
	return nil
}

// reasonKilled is a session that an administrator ended.
const reasonKilled relay.Reason = "killed"

func killed() relay.End {
	return *endedFor(reasonKilled, "ended by an administrator", "")
}

// endWhere ends the sessions that pick says, and returns how many.
func (s *Server) endWhere(pick func(*decision, *session) bool, end relay.End) int {
	n := 0
	for _, c := range s.live.all() {
		d := c.decided.Load()
		if d != nil && d.grant != nil && c.verified.Load() != nil && pick(d, c) && c.end(end) {
			n++
		}
	}
	return n
}

// killOne ends the session with an id, or with the number that SHOW CLIENTS gives it.
func (s *Server) killOne(c admin.Command) (admin.Done, error) {
	n := s.endWhere(func(_ *decision, v *session) bool {
		if c.Verb == "KILL SESSION" {
			return v.id.String() == c.Name
		}
		return strconv.Itoa(int(v.number)) == c.Name
	}, killed())
	if n == 0 {
		return admin.Done{}, consoleError(pgwire.UndefinedObject, "client not found")
	}
	return admin.Done{Count: n, Counted: c.Verb == "KILL SESSION"}, nil
}

// canMean refuses what no certificate can be: a lock that is mistyped would keep nobody out and say nothing.
func canMean(t admin.Target) error {
	switch t.Kind {
	case "spiffe":
		if _, err := identity.ParseSPIFFE(t.Value); err != nil {
			return consoleError(pgwire.InvalidParameterValue, "SPIFFE must be an ID such as spiffe://prod.example/ns/billing/sa/api")
		}
	case "dn":
		if !strings.Contains(t.Value, "=") {
			return consoleError(pgwire.InvalidParameterValue, "DN must be as openssl x509 -nameopt RFC2253 prints it, such as CN=alice,O=Example")
		}
	}
	return nil
}

// lock puts a lock in force and then ends the sessions it means. A session that is being let in
// meanwhile finds the lock when it confirms its decision.
func (s *Server) lock(ctx context.Context, c admin.Command, by string) (done admin.Done, err error) {
	if err := canMean(c.Target); err != nil {
		return done, err
	}
	now := time.Now()
	k := admin.Lock{Target: c.Target, Reason: c.Reason, By: by, At: now.UTC().Truncate(time.Second)}
	if c.For > 0 {
		k.Until = k.At.Add(c.For)
	}
	if c.Target.Kind == "serial" {
		k.IssuerKeys = s.issuerKeys(c.Target)
		switch len(k.IssuerKeys) {
		case 0:
			done.Notice = "no CA of that name is known: the lock means every issuer of that name"
		case 1:
		default:
			return done, consoleError(pgwire.ObjectNotInPrerequisiteState,
				fmt.Sprintf("%d CAs are named %s: lock the certificate by its SHA256", len(k.IssuerKeys), c.Target.Issuer))
		}
	}
	if err := s.locks.add(k, now); err != nil {
		return done, consoleError(pgwire.IOError, "the lock was not stored: "+errors.Unwrap(err).Error())
	}
	if s.locks.file == "" && done.Notice == "" {
		done.Notice = "the lock ends with this process: admin { locks_file } lets it outlive a restart"
	}
	more, err := s.tellPeers(ctx, peer.Lock, &k)
	if err != nil {
		done.Notice = untold(err)
	}
	done.Count, done.Counted = s.endLocked(&k)+more, true
	return done, nil
}

// endLocked ends the sessions that a lock means.
func (s *Server) endLocked(k *admin.Lock) int {
	return s.endWhere(func(d *decision, v *session) bool {
		return meant(k.Target, k.IssuerKeys, d.identity, v.verified.Load())
	}, *endedFor(reasonLocked, "this certificate was locked", ""))
}

func (s *Server) killCert(t admin.Target) int {
	return s.endWhere(func(d *decision, v *session) bool { return meant(t, nil, d.identity, v.verified.Load()) }, killed())
}

// untold is the notice of a command that another process of an upgrade did not take.
func untold(err error) string {
	if err == nil {
		return ""
	}
	return "another process of this broker did not take it, and its sessions go on: " + err.Error()
}

// unlock ends a lock. While an upgrade hands the locks over, it could come back: then it is refused.
func (s *Server) unlock(ctx context.Context, c admin.Command) (done admin.Done, err error) {
	if s.tenure.is(hands) || s.tenure.is(takes) {
		return done, consoleError(pgwire.ObjectNotInPrerequisiteState, "an upgrade is under way: try again in a moment")
	}
	n, err := s.locks.remove(c.Target, time.Now())
	switch {
	case err != nil:
		return done, consoleError(pgwire.IOError, "the lock was not removed: "+err.Error())
	case n == 0:
		return done, consoleError(pgwire.UndefinedObject, "no such lock: "+c.Target.String())
	}
	_, err = s.tellPeers(ctx, peer.Unlock, &admin.Lock{Target: c.Target})
	return admin.Done{Count: n, Counted: true, Notice: untold(err)}, nil
}

// errDisabled refuses a login to a database that an administrator has closed.
func errDisabled(name string) error {
	return &refusal{code: pgwire.CannotConnectNow, reason: "database_disabled", public: "database \"" + name + "\" is disabled"}
}

// checkDisabled refuses new sessions of a database that DISABLE has closed.
func (s *session) checkDisabled() error {
	g := s.decided.Load().grant
	if g.Admin == "" && s.server.pools.Disabled(pool.Key{Upstream: g.Upstream, Database: g.DBName}) {
		return errDisabled(g.Database)
	}
	return nil
}
