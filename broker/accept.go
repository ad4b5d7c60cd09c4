package broker

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/sock"
)

// accept takes connections from a listener until it is closed. Running out of descriptors is waited
// out: it passes, and nobody else shall notice (W88).
func (s *Server) accept(d *door) {
	for {
		raw, err := d.net.Accept()
		switch {
		case err == nil && s.admit(d, raw):
		case err == nil:
			err = s.shed(d)
		}
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		default:
			s.metrics.AcceptFailed(d.name)
			s.log.Error("accept failed", zap.String("listener", d.name), zap.Error(err))
			time.Sleep(acceptPause)
		}
	}
}

// acceptPause keeps a listener that cannot accept from spinning.
const acceptPause = 50 * time.Millisecond

// admit starts the session of an accepted connection, or closes it and says false.
func (s *Server) admit(d *door, raw net.Conn) bool {
	var from netip.Addr
	if tcp, ok := raw.RemoteAddr().(*net.TCPAddr); ok {
		from = tcp.AddrPort().Addr()
	}
	counted, let := s.knock(d, from)
	if !let {
		raw.Close()
		return false
	}
	s.begin(d, raw, counted)
	return true
}

// knock counts a connection by the door's limits, or as one that they keep out.
func (s *Server) knock(d *door, from netip.Addr) (counted netip.Addr, let bool) {
	s.metrics.Accepted(d.name)
	counted, reason := d.knock(from)
	if reason == "" {
		return counted, true
	}
	s.metrics.Shut(d.name, reason)
	if ce := s.log.Check(zap.DebugLevel, "connection closed at the door"); ce != nil {
		ce.Write(zap.String("listener", d.name), zap.Stringer("remote_addr", from), zap.String("reason", reason))
	}
	return netip.Addr{}, false
}

// begin starts a session that counts for an address.
func (s *Server) begin(d *door, raw net.Conn, counted netip.Addr) {
	c := &session{id: NewSessionID(time.Now()), number: s.numbers.Add(1), server: s, door: d, counted: counted, began: time.Now()}
	c.ctx, c.stop = context.WithCancelCause(context.Background())
	s.sessions.Go(func() { c.receive(raw) })
}

// A door that had to shut somebody out looks for others every shedPause and shuts out shedInRow of them at most,
// which takes some 0.2 ms: sessions find a processor in between. What comes meanwhile waits in the kernel's backlog,
// and beyond that is not even accepted there.
const (
	shedInRow = 16
	shedPause = time.Millisecond
)

// shed shuts out others who have come, at little cost, until nobody is to be shut out.
func (s *Server) shed(d *door) error {
	l, ok := d.net.(*net.TCPListener)
	if !ok {
		return nil
	}
	for {
		time.Sleep(shedPause)
		shut, let, counted := 0, false, netip.Addr{}
		raw, err := sock.Shed(l, shedInRow, func(from netip.Addr) bool {
			if counted, let = s.knock(d, from); !let {
				shut++
			}
			return !let
		})
		switch {
		case raw != nil:
			s.begin(d, raw, counted)
		case let: // but there is no descriptor for it
			d.settle(counted)
		}
		if err != nil || shut == 0 {
			return err
		}
	}
}
