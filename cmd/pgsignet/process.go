package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/pgsignet/pgsignet/broker"
	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/broker/peer"
)

// process is `serve` from a checked configuration to its end: open makes everything and starts nothing
// that clients could see, run serves, close undoes what open has come to, the last first.
type process struct {
	// Fixed by newProcess.
	load    func() (*config.Config, *config.Problems)
	stderr  io.Writer
	log     *zap.Logger
	cfg     *config.Config // as it was at start
	signals chan os.Signal
	crowd   *crowd

	// Made by open, in this order.
	sources  *trustSources
	first    *broker.Snapshot
	trail    *audit.Log
	copies   *sinks
	place    *peer.Place // nil: no runtime_dir
	taken    *peer.Taken
	server   *broker.Server
	endpoint *adminHTTP
	local    *adminSocket
	reloader *reloader
	manager  *manager

	ctx        context.Context // of the background
	stop       context.CancelFunc
	background sync.WaitGroup
}

func newProcess(cfg *config.Config, load func() (*config.Config, *config.Problems), stderr io.Writer) *process {
	stderr = zapcore.Lock(zapcore.AddSync(stderr))
	p := &process{cfg: cfg, load: load, stderr: stderr, log: newLogger(cfg, stderr), taken: &peer.Taken{}, signals: workSignals()}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.crowd = &crowd{later: p.later}
	return p
}

// open does all that can fail because of the configuration: its errors are exitConfig, but for those of
// sockets that another process has and of a disk that is full, which a later start may find mended.
func (p *process) open() error {
	for _, step := range []struct {
		do    func() error
		check bool // of the configuration
	}{
		{noDump, false}, // before there are keys
		{func() error { return checkDescriptors(p.cfg.Descriptors()) }, true},
		{p.openTrust, true}, {p.openRecord, true}, {p.takeOver, false}, {p.openServer, true}, {p.listen, false},
	} {
		if err := step.do(); err != nil && step.check && !isDiskFull(err) {
			return &exitError{code: exitConfig, err: err}
		} else if err != nil {
			return err
		}
	}
	return nil
}

func isDiskFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func (p *process) openTrust() (err error) {
	p.sources, err = newTrustSources(p.ctx, &p.background, p.cfg, p.log)
	return err
}

// openRecord opens the audit, once the configuration has been found to build.
func (p *process) openRecord() (err error) {
	p.first, err = newSnapshot(p.cfg, p.sources.current(), func() *audit.Log { return p.trail }, nil)
	if err != nil {
		return err
	}
	// A reload with a failed test changes nothing. A start goes on: staying down would help nobody.
	if err := failedTests(p.cfg, p.sources.current()); err != nil {
		p.log.Error("tests of the configuration fail", zap.Error(err))
	}
	if p.trail, err = openAudit(p.cfg); err != nil {
		return err
	}
	p.copies, err = newSinks(p.cfg, p.trail, p.log)
	return err
}

// takeOver asks the process that serves, if there is one, for its sockets and locks.
func (p *process) takeOver() (err error) {
	if p.cfg.RuntimeDir == "" {
		return nil
	}
	if p.place, err = peer.Open(p.cfg.RuntimeDir); err != nil {
		return fmt.Errorf("runtime_dir: %w", err)
	}
	beside := slices.ContainsFunc(p.cfg.Listeners, func(l config.Listener) bool { return l.ReusePort })
	taken, err := p.place.TakeOver(p.ctx, p.cfg.Node, beside)
	if err != nil {
		return fmt.Errorf("runtime_dir: %w", err)
	}
	if p.taken = taken; taken.Any() {
		p.log.Info("taking over from the process that serves", zap.Int("locks", len(taken.Locks)))
	}
	return nil
}

func (p *process) openServer() (err error) {
	settings := brokerConfig(p.cfg, p.log, p.trail, p.crowd)
	settings.Reload = func(context.Context) ([]string, error) { return p.replace(causeCommand) }
	settings.Sinks = p.copies.gauges
	settings.Peers, settings.Taken = p.place, p.taken
	settings.Sockets, settings.LetGo = p.sockets, p.letGo
	broker.TakeSockets(settings.Listeners, p.taken)
	if err := inheritSockets(p.cfg, settings.Listeners); err != nil {
		return err
	}
	if p.server, err = broker.New(settings, p.first); err != nil {
		return err
	}
	p.manager = &manager{log: p.log, released: p.server.Released, alive: p.server.Alive, drain: p.cfg.Shutdown.DrainTimeout}
	p.reloader = &reloader{load: p.load, trust: p.sources, trail: p.trail, log: p.log, server: p.server, began: p.cfg, cfg: p.cfg}
	return nil
}

func (p *process) listen() (err error) {
	if err = p.server.Listen(); err != nil {
		return err
	}
	if p.endpoint, err = openAdminHTTP(p.cfg, p.taken); err != nil {
		return err
	}
	p.local, err = openAdminSocket(p.cfg, p.taken)
	return err
}

// sockets are those of the administration, for a new process.
func (p *process) sockets() (list []peer.Socket) {
	if p.endpoint != nil {
		list = append(list, peer.Socket{Name: p.endpoint.name, Conn: p.endpoint.l.(*net.TCPListener)})
	}
	if p.local != nil {
		list = append(list, peer.Socket{Name: p.local.name, Conn: p.local.l})
	}
	return list
}

// letGo leaves them to it.
func (p *process) letGo() {
	p.endpoint.letGo()
	p.local.letGo()
}

// run serves until a signal or ctx says stop, or the older process does not let go.
func (p *process) run(ctx context.Context, started func(*broker.Server)) error {
	soft, hard, stop := stopSignals(ctx, p.log)
	defer stop()
	soft, giveUp := context.WithCancel(soft)
	defer giveUp()
	defer startCollector(p.crowd.flood)()
	p.reloader.started()
	p.endpoint.serve(p.server, p.log)
	p.local.serve(p.server, p.log)
	p.copies.start()
	p.background.Go(func() { p.sources.run(p.ctx) })
	p.background.Go(func() { p.reloader.run(p.ctx) })
	p.background.Go(func() { watchAudit(p.ctx, p.trail.Healthy, p.log) })
	p.background.Go(func() { giveBackMemory(p.ctx, p.crowd.flood) })
	p.background.Go(func() { handleSignals(p.ctx, p.signals, p.log, p.stderr, p.reload, p.upgrade) })
	for _, l := range p.cfg.Listeners {
		p.log.Info("listening", zap.String("listener", l.Name), zap.Stringer("address", p.server.Addr(l.Name)))
	}
	if started != nil {
		started(p.server)
	}
	var refused error
	served := make(chan struct{})
	var settling sync.WaitGroup
	settling.Go(func() { // ends with Serve
		if refused = p.settle(soft, served); refused != nil {
			giveUp()
		}
	})
	err := p.server.Serve(soft, hard)
	close(served)
	settling.Wait()
	p.log.Info("stopped")
	return errors.Join(refused, err)
}

// settle has the older process let go, now that this one serves, and tells the service manager that it
// is ready, then that it is alive and, once ctx has ended, that it stops. It returns once served is closed,
// or with an error when the older process goes on serving.
func (p *process) settle(ctx context.Context, served <-chan struct{}) error {
	state := daemon.SdNotifyReady
	if p.taken.Any() {
		if err := p.taken.Finish(); err != nil {
			p.log.Error("not taken over, stopping", zap.Error(err))
			return err
		}
		p.server.Settle()
		p.local.own()
		p.log.Info("taken over")
		state = fmt.Sprintf("MAINPID=%d\n%s", os.Getpid(), daemon.SdNotifyReady)
	}
	p.manager.run(ctx, state, served)
	return nil
}

// later calls do after a while, unless the process stops before that; close joins it.
func (p *process) later(after time.Duration, do func()) {
	p.background.Go(func() {
		select {
		case <-time.After(after):
			do()
		case <-p.ctx.Done():
		}
	})
}

// reload is SIGHUP; what comes of it is logged.
func (p *process) reload() {
	if _, err := p.replace(causeSignal); err != nil {
		return
	}
	if err := p.server.ReloadPeers(p.ctx); err != nil {
		p.log.Warn("a process that drains after an upgrade has not reloaded", zap.Error(err))
	}
}

// replace puts the files in force, or says why not, to the service manager, too.
func (p *process) replace(cause string) (later []string, err error) {
	done := p.manager.reloading()
	later, err = p.reloader.Reload(cause)
	done(err)
	return later, err
}

// close ends what open has made. The audit is closed after everything that writes to it, and its last
// lines are copied after that.
func (p *process) close() {
	signal.Stop(p.signals)
	p.local.close()
	p.endpoint.close()
	p.taken.Close()
	if p.server != nil {
		p.server.Close()
	}
	if p.place != nil {
		p.place.Close()
	}
	p.stop()
	p.background.Wait()
	if p.trail != nil {
		if err := p.trail.Close(); err != nil {
			p.log.Error("audit not closed cleanly", zap.Error(err))
		}
	}
	p.copies.finish()
	p.log.Sync()
}
