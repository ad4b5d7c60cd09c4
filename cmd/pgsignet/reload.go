package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker"
	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/broker/trust"
)

// Causes of a reload, as the audit names them.
const (
	causeStart   = "start"
	causeSignal  = "signal"
	causeCommand = "command"
)

// reloader puts a changed configuration and changed certificates in force while the broker runs:
// whole or not at all. Its methods are safe for concurrent use.
type reloader struct {
	// Fixed at creation.
	load   func() (*config.Config, *config.Problems) // reads the files anew
	trust  *trustSources
	trail  *audit.Log
	log    *zap.Logger
	server *broker.Server

	began *config.Config // the process began with it: what only a start takes up is its

	changing sync.Mutex // held while something is put in force; guards cfg

	cfg *config.Config // in force
}

// started records what the process began with.
func (r *reloader) started() {
	r.record(audit.ConfigReload, &audit.Reload{Cause: causeStart, NewSHA256: r.cfg.SHA256, Result: "ok"})
	for _, l := range r.cfg.Listeners {
		s := r.server.Snapshot().Trust[l.Name]
		record := trustRecord(causeStart, l.Name, s)
		record.Result = "ok"
		r.record(audit.TrustReload, record)
		r.warn(l.Name, s.Notices())
	}
}

// Reload reads the configuration and every file it names, and puts all of it in force, or nothing:
// then the error says why. It waits for one that is under way. later names what has changed in the file and
// takes effect at the next start only.
func (r *reloader) Reload(cause string) (later []string, err error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	old := r.cfg
	record := &audit.Reload{Cause: cause, OldSHA256: old.SHA256, Result: "ok"}
	next, ended, err := r.replace()
	if next != nil {
		record.NewSHA256 = next.SHA256
	}
	if record.Ended = ended; err != nil {
		record.Result, record.Error = "error", err.Error()
	}
	r.record(audit.ConfigReload, record)
	r.server.NoteReload("", err)
	if err != nil {
		r.log.Error("configuration not reloaded", zap.String("cause", cause), zap.Error(err))
		return nil, err
	}
	r.cfg = next
	r.log.Info("configuration reloaded", zap.String("cause", cause), zap.String("sha256", next.SHA256), zap.Int("ended", ended))
	later = atNextStart(r.began, next)
	for _, what := range later {
		r.log.Warn("takes effect at the next start", zap.String("setting", what))
	}
	return later, nil
}

// replace builds everything, and only then puts it in force.
func (r *reloader) replace() (next *config.Config, ended int, err error) {
	next, problems := r.load()
	if problems.HasErrors() {
		return nil, 0, errors.New(strings.Join(strings.Fields(problems.Error()), " "))
	}
	if err := needsRestart(r.cfg, next); err != nil {
		return next, 0, err
	}
	prepared, err := r.trust.prepare(next)
	if err != nil {
		return next, 0, err
	}
	if err := failedTests(next, prepared); err != nil {
		return next, 0, err
	}
	snapshot, err := newSnapshot(next, prepared, func() *audit.Log { return r.trail }, r.server.Snapshot())
	if err != nil {
		return next, 0, err
	}
	snapshot.Catalog.Settings = inForce(settings(r.began), snapshot.Catalog.Settings)
	was := r.server.Snapshot().Trust
	r.trust.install(prepared)
	if ended, err = r.server.Apply(snapshot); err != nil { // an upstream's files have changed since newSnapshot
		r.trust.install(was)
	}
	return next, ended, err
}

// failedTests runs the configuration's own test blocks under the trust that it would have.
func failedTests(cfg *config.Config, prepared map[string]*trust.Snapshot) error {
	v := newVerifier(cfg)
	maps.Copy(v.snapshots, prepared)
	var errs []error
	for _, result := range runTests(cfg.Policy(), cfg.Tests, v, time.Now()) {
		if result.Err != nil {
			errs = append(errs, fmt.Errorf("test %q (%s): %w", result.Test.Name, testPlace(result.Test), result.Err))
		}
	}
	return errors.Join(errs...)
}

// run puts changed certificates, CAs and revocation lists in force until ctx ends.
func (r *reloader) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.trust.changed:
			for _, c := range r.trust.take() {
				r.trustChanged(c)
			}
		}
	}
}

// trustChanged puts in force what a listener's watcher has loaded.
func (r *reloader) trustChanged(c trustChange) {
	r.changing.Lock()
	defer r.changing.Unlock()
	record := trustRecord(c.Cause, c.listener, c.New)
	record.Result = "ok"
	err := c.Err
	if err == nil {
		record.Ended, err = r.server.ApplyTrust(c.listener, r.trust.watchers[c.listener].Current()) // the newest
	}
	switch {
	case c.Waiting:
		r.log.Info("certificate and key do not fit yet", zap.String("listener", c.listener), zap.Error(err))
		return
	case err != nil:
		record.Result, record.Error = "error", err.Error()
		r.log.Error("certificates not reloaded", zap.String("listener", c.listener), zap.Error(err))
	default:
		r.log.Info("certificates reloaded", zap.String("listener", c.listener),
			zap.String("cause", c.Cause), zap.Int("ended", record.Ended))
	}
	r.server.NoteReload(c.listener, err)
	r.record(audit.TrustReload, record)
	r.warn(c.listener, c.Notices)
}

// warn logs what an operator should know of the certificates in force.
func (r *reloader) warn(listener string, notices []trust.Notice) {
	for _, n := range notices {
		r.log.Warn("certificates", zap.String("listener", listener), zap.String("kind", n.Kind),
			zap.String("file", n.File), zap.String("text", n.Text))
	}
}

func (r *reloader) record(event audit.Event, what *audit.Reload) {
	if err := r.trail.Append(&audit.Record{Event: event, Reload: what}); err != nil {
		r.log.Error("audit record lost", zap.String("event", string(event)), zap.Error(err))
	}
}

// trustRecord lists the anchors by fingerprint, and the revocation lists by issuer and number.
func trustRecord(cause, listener string, s *trust.Snapshot) *audit.Reload {
	record := &audit.Reload{Cause: cause, Listener: listener}
	if s == nil {
		return record
	}
	for _, c := range s.Certificates() {
		if c.Role != "server" {
			record.CAs = append(record.CAs, c.SHA256)
		}
	}
	for _, c := range s.CRLs() {
		record.CRLs = append(record.CRLs, strings.TrimSpace(c.Issuer+" "+c.Number))
	}
	slices.Sort(record.CRLs)
	return record
}
