package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/peer"
	"github.com/pgsignet/pgsignet/pgwire"
)

// maxPeerRequests bounds what other processes ask for at once.
const maxPeerRequests = 16

// peerTimeout bounds one request of another process, but for a hand-over.
const peerTimeout = 10 * time.Second

// servePeers answers the other processes of an upgrade until ctx ends.
func (s *Server) servePeers(ctx context.Context) {
	place := s.cfg.Peers
	if place == nil {
		return
	}
	var requests sync.WaitGroup
	defer requests.Wait()
	defer context.AfterFunc(ctx, func() { place.Close() })()
	slots := make(chan struct{}, maxPeerRequests)
	for {
		slots <- struct{}{}
		conn, err := place.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return
		case err != nil:
			s.log.Error("accept failed", zap.String("listener", "runtime_dir"), zap.Error(err))
			time.Sleep(acceptPause)
			<-slots
			continue
		}
		requests.Go(func() {
			defer func() { <-slots }()
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
			s.answerPeer(ctx, conn)
		})
	}
}

// answerPeer serves one request of another process.
func (s *Server) answerPeer(ctx context.Context, conn *peer.Conn) {
	conn.SetDeadline(time.Now().Add(peerTimeout))
	m, files, err := conn.Receive()
	for _, f := range files {
		f.Close() // nobody passes us any
	}
	if err != nil {
		s.log.Debug("process of runtime_dir not understood", zap.Error(err))
		return
	}
	if m.Do == peer.Take {
		s.handOver(conn, m)
		return
	}
	answer := s.peerRequest(ctx, m)
	if err := conn.Send(answer); err != nil {
		s.log.Warn("process of runtime_dir not answered", zap.String("request", m.Do), zap.Error(err))
	}
}

// peerRequest does what another process asks for a session or a lock of ours.
func (s *Server) peerRequest(ctx context.Context, m *peer.Message) *peer.Message {
	ctx, stop := context.WithTimeout(ctx, cancelTimeout)
	defer stop()
	var k admin.Lock
	if len(m.Target) > 0 {
		if err := json.Unmarshal(m.Target, &k); err != nil {
			return refusePeer(err)
		}
	}
	switch m.Do {
	case peer.Cancel:
		if m.Request == nil {
			return refusePeer(errors.New("no cancel request"))
		}
		if !s.cancelHere(ctx, askedByPeer(m.Request)) {
			return &peer.Message{Do: peer.Unknown}
		}
	case peer.Lock:
		s.recordPeer("LOCK CERT", &k)
		if err := s.locks.add(k, time.Now()); err != nil {
			return refusePeer(err)
		}
		return &peer.Message{Do: peer.OK, Count: s.endLocked(&k)}
	case peer.Unlock:
		s.recordPeer("UNLOCK CERT", &k)
		if _, err := s.locks.remove(k.Target, time.Now()); err != nil {
			return refusePeer(err)
		}
	case peer.Kill:
		s.recordPeer("KILL CERT", &k)
		return &peer.Message{Do: peer.OK, Count: s.killCert(k.Target)}
	case peer.Reload:
		if s.cfg.Reload == nil {
			return refusePeer(errors.New("no files to reload"))
		}
		if _, err := s.cfg.Reload(ctx); err != nil {
			return refusePeer(err)
		}
	default:
		return refusePeer(fmt.Errorf("%q is not known", m.Do))
	}
	return &peer.Message{Do: peer.OK}
}

// recordPeer records an action that was taken in another process, which has recorded by whom.
func (s *Server) recordPeer(verb string, k *admin.Lock) {
	by := operator{server: s, record: audit.Record{Action: &audit.Action{Via: "peer"}}}
	s.recordBestEffort(by.action(admin.Command{Verb: verb, Target: k.Target, Reason: k.Reason}, audit.PhaseStart, nil))
}

func askedByPeer(r *peer.Request) *cancelRequest {
	addr, _ := netip.ParseAddrPort(r.Addr) // the console's socket has none
	return &cancelRequest{key: pgwire.CancelKey{PID: r.PID, Secret: r.Secret}, addr: addr, tls: r.TLS, certSHA256: r.CertSHA256}
}

func refusePeer(err error) *peer.Message { return &peer.Message{Do: peer.Refused, Error: err.Error()} }

// tellPeers asks every other process the same, and returns how many sessions they have ended and what
// went wrong with any.
func (s *Server) tellPeers(ctx context.Context, do string, about *admin.Lock) (count int, err error) {
	if s.cfg.Peers == nil {
		return 0, nil
	}
	m := &peer.Message{Do: do}
	if about != nil {
		if m.Target, err = json.Marshal(about); err != nil {
			return 0, err
		}
	}
	var errs []error
	for _, name := range s.cfg.Peers.Others() {
		ctx, stop := context.WithTimeout(ctx, peerTimeout)
		answer, err := s.cfg.Peers.Ask(ctx, name, m)
		stop()
		switch {
		case errors.Is(err, peer.ErrDead):
		case err != nil:
			errs = append(errs, err)
		case answer.Do == peer.Refused:
			errs = append(errs, errors.New(answer.Error))
		default:
			count += answer.Count
		}
	}
	return count, errors.Join(errs...)
}

// ReloadPeers has the other processes of an upgrade read their configuration again: a session of
// theirs shall not keep what the new one takes away.
func (s *Server) ReloadPeers(ctx context.Context) error {
	_, err := s.tellPeers(ctx, peer.Reload, nil)
	return err
}

// cancelElsewhere passes a cancel request on to the process that has its session, and says whether
// there is one.
func (s *Server) cancelElsewhere(ctx context.Context, r *cancelRequest) bool {
	if s.cfg.Peers == nil {
		return false
	}
	m := &peer.Message{Do: peer.Cancel, Request: &peer.Request{
		PID: r.key.PID, Secret: r.key.Secret, Addr: r.addr.String(), TLS: r.tls, CertSHA256: r.certSHA256,
	}}
	for _, name := range s.cfg.Peers.Others() {
		answer, err := s.cfg.Peers.Ask(ctx, name, m)
		if err == nil && answer.Do == peer.OK {
			s.metrics.Cancelled("forwarded")
			return true
		}
		if err != nil && !errors.Is(err, peer.ErrDead) {
			s.log.Warn("cancel request not passed on", zap.Error(err))
		}
	}
	return false
}
