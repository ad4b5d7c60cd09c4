package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/peer"
)

// tenure is whether this process is the one that serves the listening sockets of its broker, and
// may hand them over. Safe for concurrent use.
type tenure struct {
	mu    sync.Mutex
	state tenureState
}

type tenureState int

const (
	owns     tenureState = iota
	takes                // from an older process, which has not let go yet
	hands                // to a newer one, which does not serve yet
	released             // a newer one serves
)

// move goes from one state to another, and says whether it was in the first.
func (t *tenure) move(from, to tenureState) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != from {
		return false
	}
	t.state = to
	return true
}

func (t *tenure) is(s tenureState) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state == s
}

// Settle says that the older process has let go, so that this one may hand over in its turn.
func (s *Server) Settle() { s.tenure.move(takes, owns) }

// Released says whether a newer process has taken over.
func (s *Server) Released() bool { return s.tenure.is(released) }

// handOver gives a new process the listening sockets and the locks. This one serves on until the new
// one says that it does, too, and that it knows they are its own; whatever goes wrong before, nothing
// has changed.
func (s *Server) handOver(conn *peer.Conn, m *peer.Message) {
	log := s.log.With(zap.String("step", "hand-over"))
	if m.Node != s.cfg.Node && m.Beside && s.beside() {
		s.greetSibling(conn)
		return
	}
	if err := s.mayHandOver(m); err != nil {
		log.Warn("nothing handed over", zap.Error(err))
		conn.Send(refusePeer(err))
		return
	}
	if s.stopping.Load() || s.Released() {
		conn.Send(&peer.Message{Do: peer.Released})
		return
	}
	if !s.tenure.move(owns, hands) {
		conn.Send(refusePeer(errors.New("another hand-over is under way")))
		return
	}
	if err := s.giveSockets(conn); err != nil {
		s.tenure.move(hands, owns)
		log.Error("new process has not taken over, this one serves on", zap.Error(err))
		return
	}
	s.letGo()
}

// mayHandOver says why a process may not have the sockets.
func (s *Server) mayHandOver(m *peer.Message) error {
	switch {
	case m.Node != s.cfg.Node:
		return peer.OtherNode(s.cfg.Node, m.Node)
	case s.pools.Held():
		return errors.New("a database is paused or disabled, which the new process would not know: RESUME and ENABLE it first")
	}
	return nil
}

// giveSockets does the talking of a hand-over, to the last word of the new process.
func (s *Server) giveSockets(conn *peer.Conn) error {
	conn.SetDeadline(time.Now().Add(peer.HandTimeout))
	m := &peer.Message{Do: peer.OK}
	var err error
	if m.Locks, err = s.locksInForce(); err != nil {
		return err
	}
	if err := conn.Send(m, s.sockets()...); err != nil {
		return fmt.Errorf("send the sockets: %w", err)
	}
	s.log.Info("listening sockets passed to a new process")
	for _, step := range []string{peer.Serving, peer.Settled} {
		said, files, err := conn.Receive()
		for _, f := range files {
			f.Close()
		}
		switch {
		case err != nil:
			return fmt.Errorf("wait for %q: %w", step, err)
		case said.Do != step:
			return fmt.Errorf("it says %q instead of %q", said.Do, step)
		case step == peer.Serving:
			if err := conn.Send(&peer.Message{Do: peer.OK}); err != nil {
				return err
			}
		}
	}
	return nil
}

// locksInForce are the locks as another process reads them.
func (s *Server) locksInForce() (list []json.RawMessage, err error) {
	for _, k := range s.locks.all(time.Now()) {
		text, err := json.Marshal(k)
		if err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, nil
}

// beside says whether other nodes may serve our port, and then share our runtime_dir.
func (s *Server) beside() bool {
	return slices.ContainsFunc(s.doors, func(d *door) bool { return d.ReusePort })
}

// greetSibling tells another node, which is about to serve beside this one, what is locked.
func (s *Server) greetSibling(conn *peer.Conn) {
	m := &peer.Message{Do: peer.Sibling}
	var err error
	if m.Locks, err = s.locksInForce(); err != nil {
		m = refusePeer(err)
	}
	if err := conn.Send(m); err != nil {
		s.log.Warn("process of runtime_dir not answered", zap.String("request", peer.Take), zap.Error(err))
	}
}

// sockets are all that a new process takes.
func (s *Server) sockets() []peer.Socket {
	var list []peer.Socket
	for _, d := range s.doors {
		if c, ok := d.net.(syscall.Conn); ok {
			list = append(list, peer.Socket{Name: d.socketName(), Conn: c})
		}
	}
	if s.cfg.Sockets != nil {
		list = append(list, s.cfg.Sockets()...)
	}
	return list
}

// SocketName is what a listener's socket is known by at a hand-over.
func (l *Listener) socketName() peer.Name {
	return peer.Name{Kind: "listener", Name: l.Name, Address: l.Address}
}

// TakeSockets gives each listener the socket that another process has for it, if any.
func TakeSockets(listeners []Listener, t *peer.Taken) {
	for i := range listeners {
		if l := t.Socket(listeners[i].socketName()); l != nil {
			listeners[i].Net = l
		}
	}
}

// letGo stops accepting, now that a new process does: who is inside, or on the way in, stays until it
// leaves or UpgradeTimeout has passed; then the drain of a shutdown follows.
func (s *Server) letGo() {
	s.locks.keepNoFile() // it is the new process's
	s.tenure.move(hands, released)
	s.closeDoors()
	if s.cfg.LetGo != nil {
		s.cfg.LetGo()
	}
	s.log.Info("handed over", zap.Duration("upgrade_timeout", s.cfg.UpgradeTimeout), zap.Int("sessions", len(s.live.all())))
	s.stopWhenEmpty(s.cfg.UpgradeTimeout)
}

// mergeLocks adds the locks of the process that this one takes over from, and of the nodes beside it.
func (s *Server) mergeLocks(list []json.RawMessage) error {
	now := time.Now()
	for _, text := range list {
		var k admin.Lock
		if err := json.Unmarshal(text, &k); err != nil {
			return fmt.Errorf("locks of the old process: %w", err)
		}
		if err := s.locks.add(k, now); err != nil {
			return err
		}
	}
	return nil
}
