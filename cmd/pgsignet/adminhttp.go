package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker"
	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/broker/trust"
)

// adminHTTP is the endpoint of metrics and health at work.
type adminHTTP struct {
	server *http.Server
	done   chan struct{}
}

// serveAdminHTTP answers on admin.address, in clear on loopback and else to clients with a certificate of
// client_ca. A nil result without an error means that the address is off.
func serveAdminHTTP(cfg *config.Config, server *broker.Server, log *zap.Logger) (*adminHTTP, error) {
	a := cfg.Admin
	if a.Address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", a.Address)
	if err != nil {
		return nil, fmt.Errorf("admin address: %w", err)
	}
	if a.CertFile == "" && !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		l.Close()
		return nil, fmt.Errorf("admin address %s is not loopback: it needs cert_file, key_file and client_ca", a.Address)
	}
	if a.CertFile != "" {
		t, err := adminTLS(&a)
		if err != nil {
			l.Close()
			return nil, fmt.Errorf("admin: %w", err)
		}
		l = tls.NewListener(l, t)
	}
	endpoint := admin.HTTP{Metrics: server.Metrics(), Ready: server.Ready, AnyHost: a.CertFile != ""}
	h := &adminHTTP{server: endpoint.Server(), done: make(chan struct{})}
	h.server.ErrorLog = zap.NewStdLog(log)
	log.Info("admin endpoint listening", zap.Stringer("address", l.Addr()), zap.Bool("tls", a.CertFile != ""))
	go func() { // ends with close
		defer close(h.done)
		if err := h.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("admin endpoint ended", zap.Error(err))
		}
	}()
	return h, nil
}

// close ends the endpoint, after the answers under way or two seconds.
func (h *adminHTTP) close() {
	if h == nil {
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
