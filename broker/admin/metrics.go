package admin

import (
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are the figures that the broker feeds while it serves, and what it is asked for at each
// scrape. Labels are names out of the configuration and closed sets of words: never a certificate's
// or a client's (A119). Safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	logins  *prometheus.CounterVec
	denied  *prometheus.CounterVec
	ends    *prometheus.CounterVec
	cancels *prometheus.CounterVec
	shut    *prometheus.CounterVec
	came    *prometheus.CounterVec
	left    *prometheus.CounterVec
	unheard *prometheus.CounterVec
	acquire *prometheus.HistogramVec
	connect *prometheus.HistogramVec
	failed  *prometheus.CounterVec
	dropped *prometheus.CounterVec
	remains prometheus.Histogram
	lax     *prometheus.CounterVec
	shadow  *prometheus.CounterVec

	reasons bounded // of denied
	ending  bounded // of ends
}

// Bounds of histograms, in seconds.
var (
	waits     = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	lifetimes = []float64{3600, 6 * 3600, 86400, 3 * 86400, 7 * 86400, 14 * 86400, 30 * 86400, 90 * 86400, 180 * 86400, 365 * 86400, 730 * 86400}
)

// NewMetrics returns metrics with a registry of their own. gauges is asked at each scrape.
func NewMetrics(version string, gauges func() Gauges) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		logins:   counter("logins_total", "Sessions let in, by map.", "map"),
		denied:   counter("logins_denied_total", "Logins refused, by reason.", "reason"),
		ends:     counter("session_ends_total", "Sessions that were open and ended, by reason.", "reason"),
		cancels:  counter("cancel_requests_total", "Cancel requests, by what came of them.", "result"),
		shut:     counter("connections_refused_total", "Connections closed before TLS, by listener and limit.", "listener", "reason"),
		came:     counter("connections_total", "Connections accepted, by listener.", "listener"),
		left:     counter("connections_abandoned_total", "Connections whose client left before it was let in or refused, by listener and how far it had come.", "listener", "reason"),
		unheard:  counter("accept_errors_total", "Connections that could not be accepted, by listener.", "listener"),
		failed:   counter("upstream_connect_errors_total", "Server connections that could not be made, by upstream.", "upstream"),
		dropped:  counter("notifications_dropped_total", "Notifications that a server sent for sessions that do not listen, by upstream.", "upstream"),
		acquire:  histogram("pool_acquire_seconds", "Time until a session had a server connection, by upstream.", waits, "upstream"),
		connect:  histogram("upstream_connect_seconds", "Time to dial and log in to a server, by upstream.", waits, "upstream"),
		lax:      counter("logins_tolerated_total", "Logins that crl_policy or ocsp let in without a current answer, by listener and what a strict setting would say.", "listener", "reason"),
		shadow:   counter("shadow_differences_total", "Logins that the shadow policy decides otherwise, by what it would have done.", "verdict"),
		remains: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "client_certificate_expiration_seconds", Buckets: lifetimes,
			Help: "Remaining life of client certificates at login.",
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "The program; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build, m.logins, m.denied, m.ends, m.cancels, m.shut, m.came, m.left, m.unheard, m.failed, m.dropped, m.acquire, m.connect, m.remains, m.lax, m.shadow,
		&scrape{gauges: gauges},
	)
	return m
}

// namespace begins every metric's name.
const namespace = "pgsignet"

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
}

// ExpectListener has a listener's counters begin at 0, as ExpectUpstream those of an upstream and ExpectMap that of
// a map: a counter that appears with its first count hides that from rate and increase, and so from alerts.
func (m *Metrics) ExpectListener(listener string, limits ...string) {
	for _, limit := range limits {
		m.shut.WithLabelValues(listener, limit)
	}
	m.came.WithLabelValues(listener)
	m.unheard.WithLabelValues(listener)
	for _, reason := range []string{"probe", "login"} {
		m.left.WithLabelValues(listener, reason)
	}
}

// ExpectUpstream is as ExpectListener.
func (m *Metrics) ExpectUpstream(upstream string) {
	m.failed.WithLabelValues(upstream)
	m.dropped.WithLabelValues(upstream)
	m.acquire.WithLabelValues(upstream)
	m.connect.WithLabelValues(upstream)
}

// ExpectMap is as ExpectListener.
func (m *Metrics) ExpectMap(name string) { m.logins.WithLabelValues(name) }

// LoggedIn counts a session that was let in; remaining is its certificate's life from now.
func (m *Metrics) LoggedIn(rule string, remaining time.Duration) {
	m.logins.WithLabelValues(rule).Inc()
	m.remains.Observe(remaining.Seconds())
}

// Tolerated counts a login that was let in although a strict setting would have refused it for reason
// (T57, T61).
func (m *Metrics) Tolerated(listener, reason string) { m.lax.WithLabelValues(listener, reason).Inc() }

// ShadowDiffered counts a login that the shadow policy decides otherwise; verdict is granted or refused.
func (m *Metrics) ShadowDiffered(verdict string) { m.shadow.WithLabelValues(verdict).Inc() }

// Denied counts a refused login.
func (m *Metrics) Denied(reason string) { m.denied.WithLabelValues(m.reasons.word(reason)).Inc() }

// Ended counts the end of a session that was let in.
func (m *Metrics) Ended(reason string) { m.ends.WithLabelValues(m.ending.word(reason)).Inc() }

// Cancelled counts a cancel request; result is unmatched, unread, delivered, failed, nothing to cancel, forwarded or unrecorded.
func (m *Metrics) Cancelled(result string) { m.cancels.WithLabelValues(result).Inc() }

// Shut counts a connection that was closed before TLS because of a limit.
func (m *Metrics) Shut(listener, reason string) { m.shut.WithLabelValues(listener, reason).Inc() }

// Accepted counts a connection that was accepted, whatever comes of it.
func (m *Metrics) Accepted(listener string) { m.came.WithLabelValues(listener).Inc() }

// AcceptFailed counts a connection that could not be accepted, for want of descriptors or memory.
func (m *Metrics) AcceptFailed(listener string) { m.unheard.WithLabelValues(listener).Inc() }

// Abandoned counts a connection whose client left before it was let in or refused: as a probe, without a
// word, or during its login.
func (m *Metrics) Abandoned(listener, reason string) { m.left.WithLabelValues(listener, reason).Inc() }

// Observer takes one more observation.
type Observer interface{ Observe(float64) }

// Acquiring observes how many seconds sessions wait for server connections that they get.
func (m *Metrics) Acquiring(upstream string) Observer { return m.acquire.WithLabelValues(upstream) }

// Connected observes a new server connection.
func (m *Metrics) Connected(upstream string, d time.Duration) {
	m.connect.WithLabelValues(upstream).Observe(d.Seconds())
}

// ConnectFailed counts a server connection that could not be made.
func (m *Metrics) ConnectFailed(upstream string) { m.failed.WithLabelValues(upstream).Inc() }

// NotificationDropped counts a notification that no client listens for (W65).
func (m *Metrics) NotificationDropped(upstream string) { m.dropped.WithLabelValues(upstream).Inc() }

// bounded keeps a label to a set of words that cannot grow without end, whoever thinks of new ones.
// The words are slugs of a closed set, so that the bound is never met but by a bug.
type bounded struct {
	mu    sync.Mutex
	words map[string]struct{}
}

// maxWords is how many values such a label may have.
const maxWords = 100

func (b *bounded) word(w string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.words[w]; known {
		return w
	}
	if w == "" || len(b.words) >= maxWords {
		return "other"
	}
	if b.words == nil {
		b.words = make(map[string]struct{})
	}
	b.words[w] = struct{}{}
	return w
}
