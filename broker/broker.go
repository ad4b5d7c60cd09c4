// Package broker serves PostgreSQL clients that log in by certificate: it accepts connections and
// takes each down one line, from TLS to the audit's close record.
//
// It does not read configuration files, and leaves how a certificate is verified, a login decided,
// a server connection made or a message relayed to the packages below it.
package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/downstream"
	"github.com/pgsignet/pgsignet/broker/peer"
	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/broker/sock"
	"github.com/pgsignet/pgsignet/broker/stamp"
	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/broker/upstream"
	"github.com/pgsignet/pgsignet/policy"
)

// Config is what a Server is made of. The fields of Snapshot can be replaced while it runs.
type Config struct {
	Node         string
	Version      string // of the program, in metrics
	Listeners    []Listener
	Audit        *audit.Log
	AuditLevel   audit.Level
	Log          *zap.Logger
	DrainTimeout time.Duration // how long Serve waits for sessions once it is told to stop
	LocksFile    string        // where locks outlive the process; "": nowhere

	// Peers is this process's place among those of an upgrade; nil: there is no hand-over. The Server
	// closes it.
	Peers *peer.Place
	// Taken is what an older process has handed over; nil: nothing. Settle says that it has let go.
	Taken *peer.Taken
	// Sockets are further listening sockets that go to a new process, and LetGo stops serving them
	// when it has taken them. Either may be nil.
	Sockets        func() []peer.Socket
	LetGo          func()
	UpgradeTimeout time.Duration // how long sessions may stay once a new process serves; 0: as they like

	// Reload reads the configuration again, for the console, and names what takes effect at the next start
	// only; nil: it has none.
	Reload func(context.Context) (later []string, err error)

	// Sinks, unless nil, tells how the copies of the record do, for metrics.
	Sinks func() []admin.SinkGauge
}

// Listener is one door that clients come in by.
type Listener struct {
	Name       string
	Address    string       // host:port
	Net        net.Listener // inherited; nil: Address is bound
	ReusePort  bool         // other processes may bind Address, too
	Admission  downstream.Config
	MaxClients int // granted a login; 0: no cap
	HalfOpen   int // accepted and not yet granted one; 0: no cap

	HalfOpenPerAddress int           // of HalfOpen, by address; 0: no cap
	LoginBackoff       time.Duration // longest pause before a refusal is told; 0: none

	IdleInTransactionTimeout time.Duration // 0: none
	OpenBatchTimeout         time.Duration // extended messages without Sync; 0: none
}

// Upstream is a way to a PostgreSQL server and how its connections are pooled.
type Upstream struct {
	*upstream.Upstream                      // one object as long as nothing of it changes, over all snapshots
	Files              *trust.UpstreamFiles // its certificates; the Server follows them
	Issuer             bool                 // Files holds the CA that issues the roles' certificates
	Same               string               // equal for two that are reached and logged in to alike

	Pool          Pool
	CancelTimeout time.Duration
}

// Pool holds what the pools of one upstream have in common.
type Pool struct {
	Mode         relay.Mode
	Share        string // role | map | identity
	Limits       pool.Limits
	ResetAlways  bool // transaction mode: DISCARD ALL after every transaction
	ResetTimeout time.Duration
	LoginCheck   time.Duration // how old the proof may be that a role can still log in
	EvictOnDrop  bool          // close a database's idle connections before it is dropped or renamed
	Prepared     int           // statements a server connection holds for clients in transaction mode
	Pins         *relay.PinLimit
}

// Snapshot is all that a reload replaces in one step. It never changes.
type Snapshot struct {
	Policy    *policy.Policy
	Databases []string                   // names of databases, without "*", in the files' order
	SHA256    string                     // of the configuration files
	Trust     map[string]*trust.Snapshot // by listener
	Expiry    map[string]Expiry          // by listener
	Upstreams map[string]*Upstream       // by name
	Catalog   Catalog

	Shadow       *Shadow               // nil: none
	IdentityKeys map[string]*stamp.Key // by database name, "*" too: what signs `stamp` token
}

// Server is a running broker.
type Server struct {
	// Fixed at creation.
	cfg   Config
	log   *zap.Logger
	pools *pool.Pools[*relay.Server]
	doors []*door
	live  *liveSessions
	keys  *cancelKeys
	count *sessionCounts

	expiries   *expiries
	readClocks func() (wall time.Time, mono time.Duration)
	recordWait atomic.Int64       // nanoseconds that a test sets; 0: the constant
	cancelWait atomic.Int64       // the same
	barrier    func(point string) // tests hold sessions here; nil but in tests

	metrics *admin.Metrics
	traffic traffic
	reloads reloads
	samples samples
	census  census
	locks   locks
	halts   halting
	waiting sync.WaitGroup // what listens for halts

	statements  *relay.Statements
	walsenders  sync.Map // session id of a replication client to its walsender
	generations generations
	greetings   greetings
	events      chan poolEvent
	replaced    chan struct{} // another snapshot is in force

	applying  sync.Mutex // held while a snapshot is put in force
	snapshot  atomic.Pointer[Snapshot]
	serverIDs atomic.Uint64
	numbers   atomic.Int32 // of sessions, for the console
	serving   atomic.Bool
	stopping  atomic.Bool

	failedCancels failedCancels
	lines         lines
	tenure        tenure
	draining      chan struct{}   // closed once Serve has been told to stop
	admission     context.Context // ends when those that have not come to their login shall go
	endAdmission  context.CancelCauseFunc

	acceptors sync.WaitGroup // one per listener
	sessions  sync.WaitGroup // one per accepted connection
	servers   sync.WaitGroup // one per server connection
}

// New checks cfg and the first snapshot; it binds and starts nothing.
func New(cfg Config, first *Snapshot) (*Server, error) {
	if cfg.Audit == nil || cfg.Log == nil || len(cfg.Listeners) == 0 {
		return nil, errors.New("broker: audit, log and at least one listener are required")
	}
	s := &Server{
		cfg: cfg, log: cfg.Log, live: newLiveSessions(), keys: newCancelKeys(), count: newSessionCounts(), statements: relay.NewStatements(),
		events: make(chan poolEvent, 1024), replaced: make(chan struct{}, 1),
		expiries: newExpiries(), readClocks: readClocks, draining: make(chan struct{}),
	}
	s.admission, s.endAdmission = context.WithCancelCause(context.Background())
	for i := range cfg.Listeners {
		l := cfg.Listeners[i]
		if first.Trust[l.Name] == nil {
			return nil, fmt.Errorf("listener %q has no certificates", l.Name)
		}
		s.doors = append(s.doors, s.newDoor(l))
	}
	pools, err := pool.New(pool.Config[*relay.Server]{Dial: s.dial})
	if err != nil {
		return nil, err
	}
	s.pools = pools
	if err := first.CheckSeparation(); err != nil {
		return nil, err
	}
	s.snapshot.Store(first)
	s.metrics = admin.NewMetrics(cfg.Version, s.gauges)
	s.expectCounts(first)
	s.halts, s.locks.file = newHalting(), cfg.LocksFile
	if err := s.locks.load(); err != nil {
		return nil, err
	}
	if cfg.Taken != nil {
		if cfg.Taken.Any() {
			s.tenure.state = takes
		}
		if err := s.mergeLocks(cfg.Taken.Locks); err != nil {
			return nil, err
		}
	}
	s.NoteReload("", nil)
	for _, d := range s.doors {
		s.NoteReload(d.name, nil)
	}
	return s, nil
}

func (s *Server) newDoor(l Listener) *door {
	d := &door{Listener: l, name: l.Name}
	admission := l.Admission
	admission.Listener = l.Name
	admission.TLS = s.serverTLS(l.Name)
	d.admit = &admission
	return d
}

// Listen binds every listener; on an error none stays bound.
func (s *Server) Listen() error {
	for _, d := range s.doors {
		if d.net = d.Net; d.net != nil {
			continue
		}
		options := net.ListenConfig{KeepAlive: -1} // downstream.Admit sets it
		if d.ReusePort {
			options.Control = sock.SharePort
		}
		l, err := options.Listen(context.Background(), "tcp", d.Address)
		if err != nil {
			s.closeDoors()
			return fmt.Errorf("listener %q: %w", d.name, err)
		}
		d.net = l
	}
	return nil
}

// Addr is the address a listener is bound to, or nil.
func (s *Server) Addr(listener string) net.Addr {
	for _, d := range s.doors {
		if d.name == listener && d.net != nil {
			return d.net.Addr()
		}
	}
	return nil
}

// Serve accepts and serves clients until ctx ends; then it stops accepting, lets every session come
// to its transaction boundary, ends what is left after DrainTimeout or when hard ends, and returns
// when nothing of any session or server connection is left.
func (s *Server) Serve(ctx, hard context.Context) error {
	poolCtx, stopPools := context.WithCancel(context.Background())
	var background sync.WaitGroup
	background.Go(func() { s.pools.Run(poolCtx) })
	background.Go(func() { s.reap(poolCtx) })
	background.Go(func() { s.expire(poolCtx) })
	background.Go(func() { s.handleEvents(poolCtx) })
	background.Go(func() { s.followUpstreams(poolCtx) })
	background.Go(func() { s.servePeers(poolCtx) })

	for _, d := range s.doors {
		s.acceptors.Go(func() { s.accept(d) })
	}
	background.Go(func() { s.sampleStatistics(poolCtx) })
	ctx, hard, stop := s.stopped(ctx, hard)
	defer stop()
	s.serving.Store(true)
	<-ctx.Done()
	s.stopping.Store(true)
	close(s.draining)
	s.closeDoors()
	s.acceptors.Wait()
	s.drain(hard)
	s.pools.Close()
	s.servers.Wait()
	stopPools()
	background.Wait()
	return nil
}

// Close closes the listeners of a Server that does not serve. It is harmless after Serve.
func (s *Server) Close() { s.closeDoors() }

func (s *Server) closeDoors() {
	for _, d := range s.doors {
		if d.net != nil {
			d.net.Close()
		}
	}
}

// recoverSession keeps a bug in one session from ending all others. The client is told so while its
// login is under way; later it may be in the middle of a message, and the connection just ends.
func (s *Server) recoverSession(c *session) {
	r := recover()
	if r == nil {
		return
	}
	s.log.Error("session panicked", zap.Stringer("sid", c.id), zap.Any("panic", r), zap.Stack("stack"))
	again := c.panicked // while it was being ended: enough of it
	c.panicked = true
	switch {
	case again, c.client == nil:
	case c.isOpen():
		c.close(&relay.Result{End: relay.End{Reason: reasonInternal}})
	default:
		c.refuse(stageStartup, fmt.Errorf("panic: %v", r))
	}
}

// open says whether a client that has come to the door may log in.
func (s *Server) open(d *door) error {
	switch {
	case s.stopping.Load():
		return errShuttingDown()
	case d.full():
		return errTooManyClients()
	case s.cfg.Audit.Strict():
		if err := s.cfg.Audit.Healthy(); err != nil {
			return errAuditDown(err)
		}
	}
	return nil
}

// Reasons for which the broker ends sessions (architecture.md, Errors).
const (
	reasonShutdown      relay.Reason = "shutdown"
	reasonDrainTimeout  relay.Reason = "drain_timeout"
	reasonPolicyChanged relay.Reason = "policy_changed"
	reasonCertExpired   relay.Reason = "cert_expired"
	reasonCertRevoked   relay.Reason = "cert_revoked"
	reasonLocked        relay.Reason = "locked"
	reasonIdleTimeout   relay.Reason = "idle_timeout"
	reasonMaxDuration   relay.Reason = "max_duration"
	reasonInternal      relay.Reason = "internal"

	reasonStatementTimeout relay.Reason = "statement_timeout"
)
