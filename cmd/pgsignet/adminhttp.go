package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker"
	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/broker/peer"
	"github.com/pgsignet/pgsignet/broker/trust"
)

// adminHTTP is the endpoint of metrics and health.
type adminHTTP struct {
	name   peer.Name
	l      net.Listener // what a new process would take
	tls    *tls.Config  // nil: in clear
	server *http.Server // once it serves
	done   chan struct{}
}

// openAdminHTTP listens on admin.address, or goes on with the socket of an older process: in clear on
// loopback and else for clients with a certificate of client_ca. A nil result without an error means
// that the address is off.
func openAdminHTTP(cfg *config.Config, taken *peer.Taken) (_ *adminHTTP, err error) {
	a := cfg.Admin
	if a.Address == "" {
		return nil, nil
	}
	h := &adminHTTP{name: peer.Name{Kind: "admin", Name: "address", Address: a.Address}}
	if h.l = taken.Socket(h.name); h.l == nil {
		if h.l, err = net.Listen("tcp", a.Address); err != nil {
			return nil, fmt.Errorf("admin address: %w", err)
		}
	}
	if a.CertFile == "" && !h.l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		h.l.Close()
		return nil, fmt.Errorf("admin address %s is not loopback: it needs cert_file, key_file and client_ca", a.Address)
	}
	if a.CertFile != "" {
		if h.tls, err = adminTLS(&a); err != nil {
			h.l.Close()
			return nil, fmt.Errorf("admin: %w", err)
		}
	}
	return h, nil
}

// serve answers until close or letGo.
func (h *adminHTTP) serve(server *broker.Server, log *zap.Logger) {
	if h == nil {
		return
	}
	endpoint := admin.HTTP{Metrics: server.Metrics(), Ready: server.Ready, AnyHost: h.tls != nil}
	l := net.Listener(&fewConns{Listener: h.l})
	if h.tls != nil {
		l = tls.NewListener(l, h.tls)
	}
	h.server, h.done = endpoint.Server(), make(chan struct{})
	h.server.ErrorLog = zap.NewStdLog(log)
	log.Info("admin endpoint listening", zap.Stringer("address", l.Addr()), zap.Bool("tls", h.tls != nil))
	go func() { // ends with close
		defer close(h.done)
		if err := h.server.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			log.Error("admin endpoint ended", zap.Error(err))
		}
	}()
}

// maxAdminConns is how many connections the endpoint has at once. Anybody on the machine can open some:
// they shall not use up the descriptors that sessions need.
const maxAdminConns = 32

// fewConns has maxAdminConns connections. One more is taken, and the one that has been silent for longest
// is closed: whoever holds many open keeps nobody out who asks and goes.
type fewConns struct {
	net.Listener

	mu   sync.Mutex // guards open
	open map[*adminConn]struct{}
}

func (l *fewConns) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &adminConn{Conn: raw, listener: l}
	c.heard.Store(time.Now().UnixNano())
	if extra := l.add(c); extra != nil {
		extra.Close()
	}
	return c, nil
}

// add counts a connection, and returns the one that has to go for it.
func (l *fewConns) add(c *adminConn) (extra *adminConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= maxAdminConns {
		for o := range l.open {
			if extra == nil || o.heard.Load() < extra.heard.Load() {
				extra = o
			}
		}
		delete(l.open, extra)
	}
	if l.open == nil {
		l.open = make(map[*adminConn]struct{})
	}
	l.open[c] = struct{}{}
	return extra
}

// adminConn knows when its client last said something.
type adminConn struct {
	net.Conn
	listener *fewConns
	heard    atomic.Int64 // Unix time in nanoseconds
}

func (c *adminConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

// Close makes room for another one.
func (c *adminConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// letGo leaves the socket to a new process.
func (h *adminHTTP) letGo() {
	if h != nil {
		h.server.SetKeepAlivesEnabled(false)
		h.l.Close()
	}
}

// close ends the endpoint, after the answers under way or two seconds.
func (h *adminHTTP) close() {
	if h == nil {
		return
	}
	if h.server == nil {
		h.l.Close()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if h.server.Shutdown(ctx) != nil {
		h.server.Close()
	}
	<-h.done
}

// adminTLS asks for a client certificate whenever there is a client_ca, and requires one beyond
// loopback.
func adminTLS(a *config.Admin) (*tls.Config, error) {
	pair, err := trust.LoadKeyPair(a.CertFile, a.KeyFile)
	if err != nil {
		return nil, err
	}
	t := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}
	if len(a.ClientCA) == 0 {
		if !loopbackAddress(a.Address) {
			return nil, fmt.Errorf("address %s is not loopback: client_ca is required", a.Address)
		}
		return t, nil
	}
	cas, err := trust.LoadCAs(a.ClientCA)
	if err != nil {
		return nil, err
	}
	t.ClientAuth, t.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	for _, ca := range cas {
		t.ClientCAs.AddCert(ca)
	}
	return t, nil
}

func loopbackAddress(hostPort string) bool {
	addr, err := net.ResolveTCPAddr("tcp", hostPort)
	return err == nil && addr.IP.IsLoopback()
}
