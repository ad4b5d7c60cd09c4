package admin

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is one thing that must hold for new logins to be served.
type Check struct {
	Name string
	Err  error // nil: it holds
}

// HTTP answers /metrics, /healthz and /readyz, and nothing else.
type HTTP struct {
	Metrics *Metrics
	Ready   func() []Check // what readiness depends on, now

	// AnyHost is for TLS with client certificates. Without it the request must name a loopback
	// address: a page in a browser on this machine that has another name point here reads nothing
	// (DNS rebinding, A117).
	AnyHost bool
}

// Server returns an HTTP server with timeouts, on no socket yet.
func (h *HTTP) Server() *http.Server {
	return &http.Server{
		Handler: h.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
}

func (h *HTTP) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.Metrics.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", h.ready)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if !h.AnyHost && !loopbackHost(r.Host) {
			http.Error(w, "host not served here", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// ready answers 200 or 503; with ?verbose it says which check failed and why.
func (h *HTTP) ready(w http.ResponseWriter, r *http.Request) {
	checks := h.Ready()
	status, word := http.StatusOK, "ok"
	for _, c := range checks {
		if c.Err != nil {
			status, word = http.StatusServiceUnavailable, "not ready"
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if r.URL.Query().Has("verbose") {
		for _, c := range checks {
			if c.Err != nil {
				fmt.Fprintf(w, "[-] %s: %v\n", c.Name, c.Err)
			} else {
				fmt.Fprintf(w, "[+] %s ok\n", c.Name)
			}
		}
	}
	fmt.Fprintln(w, word)
}

// loopbackHost says whether a Host header names this machine by a loopback address.
func loopbackHost(hostPort string) bool {
	host := hostPort
	if h, _, err := net.SplitHostPort(hostPort); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	if len(host) > 2 && host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
