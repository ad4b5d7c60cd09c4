package broker

import (
	"context"
	"errors"
	"net"
	"os"
	"os/user"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/downstream"
	"github.com/pgsignet/pgsignet/broker/peer"
	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/pgwire"
)

// serveConsole is the session of a client whose map grants the console: no pool, no relay.
func (s *session) serveConsole() {
	if err := s.recordOpen(s.consoleRecord()); err != nil {
		s.refuse(stagePolicy, err)
		return
	}
	key := s.server.keys.add(s, 0, s.client.Startup.Version)
	defer s.server.keys.remove(s, key.PID)
	if err := s.confirm(); err != nil {
		s.refuse(stagePolicy, err)
		return
	}
	s.follow()
	s.accepted()
	d := s.decided.Load()
	c := &admin.Console{
		Conn: s.client.Conn, Rights: func() admin.Rights { return admin.Rights(d.grant.Admin) },
		Broker: &operator{server: s.server, name: d.identity.DN, record: audit.Record{
			SID: s.id.String(), CertSHA256: d.identity.SHA256, Map: d.grant.Rule.Name, Action: &audit.Action{Via: "console"},
		}},
	}
	s.closeConsole(s.runConsole(c, &key))
}

// runConsole welcomes the client and answers its commands until one side ends.
func (s *session) runConsole(c *admin.Console, key *pgwire.CancelKey) relay.End {
	s.mu.Lock()
	s.console = c
	s.mu.Unlock()
	if err := downstream.Welcome(s.client, admin.Parameters, key, s.notices); err != nil {
		return relay.End{Reason: relay.ClientClosed}
	}
	err := c.Serve(s.ctx)
	if ended := s.endedBy(); ended != nil {
		return *ended
	}
	if tell, ok := errors.AsType[*pgwire.Error](err); ok {
		return relay.End{Reason: relay.ProtocolError, Tell: tell}
	}
	if err != nil {
		return relay.End{Reason: relay.ClientClosed}
	}
	return relay.End{Reason: relay.ClientTerminated}
}

// closeConsole tells the client why its session ends, and records it.
func (s *session) closeConsole(end relay.End) {
	if end.Tell != nil {
		s.client.Conn.SetWriteDeadline(time.Now().Add(refuseTimeout))
		s.client.Conn.Write(pgwire.AppendError(nil, end.Tell))
	}
	s.close(&relay.Result{End: end})
}

// consoleRecord is the record of a login to the console.
func (s *session) consoleRecord() *audit.Record {
	g := s.decided.Load().grant
	r := s.opening()
	r.Granted.Database, r.Granted.Admin, r.Granted.Level = g.Database, g.Admin, audit.LevelSession
	return r
}

// ServeConsole answers the console on a unix socket until ctx ends or l is closed, and returns when all
// its sessions have ended. Root and our own user are operators there; others are refused, whatever the
// socket's mode lets through.
func (s *Server) ServeConsole(ctx context.Context, l *net.UnixListener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for {
		conn, err := l.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed): // let go of to a new process
			return nil
		case err != nil:
			s.log.Error("accept failed", zap.String("listener", "admin socket"), zap.Error(err))
			time.Sleep(acceptPause)
			continue
		}
		sessions.Go(func() { s.admitLocal(ctx, conn) })
	}
}

// localTimeout bounds the start-up of a console session on the socket, and each write of it.
const localTimeout = 10 * time.Second

// admitLocal serves one connection of the socket.
func (s *Server) admitLocal(ctx context.Context, conn *net.UnixConn) {
	c := &session{id: NewSessionID(time.Now()), number: s.numbers.Add(1), server: s, began: time.Now()}
	c.ctx, c.stop = context.WithCancelCause(ctx)
	defer c.stop(nil)
	defer s.recoverSession(c)
	defer conn.Close()
	uid, err := peer.UID(conn)
	if err != nil || uid != 0 && uid != os.Getuid() {
		s.log.Warn("console refused", zap.Int("uid", uid), zap.Error(err))
		downstream.Refuse(conn, answer(errNotOurs, c.id), refuseTimeout)
		return
	}
	client, cancel, err := downstream.AdmitLocal(c.ctx, conn, localTimeout)
	switch {
	case err != nil:
		s.log.Debug("console start-up failed", zap.Error(err))
		return
	case cancel != nil:
		s.cancelRequest(c.ctx, cancel)
		return
	}
	c.client = client
	c.serveSocket(uid)
}

var errNotOurs = &refusal{
	code: pgwire.InvalidAuthorizationSpecification, reason: "not_operator",
	public: "only root and the broker's own user may use this socket",
}

// serveSocket is the console session of a local user. Its commands are recorded, with the uid.
func (s *session) serveSocket(uid int) {
	key := s.server.keys.add(s, 0, s.client.Startup.Version)
	defer s.server.keys.remove(s, key.PID)
	c := &admin.Console{
		Conn: s.client.Conn, Rights: func() admin.Rights { return admin.Operator },
		Broker: &operator{server: s.server, name: localName(uid), record: audit.Record{
			SID: s.id.String(), Action: &audit.Action{Via: "socket", UID: &uid},
		}},
	}
	end := s.runConsole(c, &key)
	if end.Tell != nil {
		s.client.Conn.Write(pgwire.AppendError(nil, end.Tell))
	}
	s.client.Conn.Finish(finishTimeout)
}

// localName names a local user in locks.
func localName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return "uid " + strconv.Itoa(uid) + " (" + u.Username + ")"
	}
	return "uid " + strconv.Itoa(uid)
}

// Shutdown modes of the console.
const (
	haltNow     = ""                 // end everything
	haltServers = "WAIT_FOR_SERVERS" // as SIGTERM: sessions end at their transaction boundary
	haltClients = "WAIT_FOR_CLIENTS" // let nobody in, and stop when the last session has left
)

// halting is how a command stops the server.
type halting struct {
	clientsOnce, softOnce, hardOnce sync.Once
	soft, hard                      chan struct{}
}

func newHalting() halting { return halting{soft: make(chan struct{}), hard: make(chan struct{})} }

func (h *halting) softly() { h.softOnce.Do(func() { close(h.soft) }) }

// halt stops the server as SHUTDOWN asks; it does not wait.
func (s *Server) halt(mode string) {
	s.log.Info("stopping by command", zap.String("mode", mode))
	switch mode {
	case haltClients:
		s.stopping.Store(true)
		s.closeDoors()
		s.stopWhenEmpty(0)
	case haltServers:
		s.halts.softly()
	case haltNow:
		s.halts.softly()
		s.halts.hardOnce.Do(func() { close(s.halts.hard) })
	}
}

// stopWhenEmpty stops the server once the last session has left, or when limit has passed; 0 is none.
// The doors are closed already.
func (s *Server) stopWhenEmpty(limit time.Duration) {
	s.halts.clientsOnce.Do(func() {
		gone := make(chan struct{})
		s.waiting.Go(func() { // ends when the server does
			s.acceptors.Wait()
			s.sessions.Wait()
			close(gone)
		})
		s.waiting.Go(func() {
			var late <-chan time.Time
			if limit > 0 {
				timer := time.NewTimer(limit)
				defer timer.Stop()
				late = timer.C
			}
			select {
			case <-gone:
			case <-late:
			case <-s.halts.soft:
			case <-s.draining:
			}
			s.halts.softly()
		})
	})
}

// stopped returns contexts that end with those given, or when SHUTDOWN says so.
func (s *Server) stopped(ctx, hard context.Context) (soft, hardly context.Context, stop func()) {
	soft, stopSoft := context.WithCancel(ctx)
	hardly, stopHard := context.WithCancel(hard)
	s.waiting.Go(func() { // ends with stop at the latest
		select {
		case <-s.halts.soft:
			stopSoft()
		case <-soft.Done():
		}
	})
	s.waiting.Go(func() {
		select {
		case <-s.halts.hard:
			stopHard()
		case <-hardly.Done():
		}
	})
	return soft, hardly, func() { stopSoft(); stopHard(); s.waiting.Wait() }
}
