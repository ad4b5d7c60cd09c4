package admin

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Gauges is what the broker looks like at one moment, as far as /metrics tells.
type Gauges struct {
	Ready        bool
	Listeners    []ListenerGauge
	Sessions     map[string]int // open ones by map
	Pools        []PoolGauge
	Pinned       map[string]int64 // server connections kept by one client, by upstream
	Traffic      []TrafficGauge
	Audit        AuditGauge
	Sinks        []SinkGauge
	Reloads      []ReloadGauge
	Certificates []CertificateGauge
	Upstreams    []UpstreamGauge
	CRLs         []CRLGauge
	Locks        int
}

// ListenerGauge counts a listener's connections.
type ListenerGauge struct {
	Name              string
	Clients, HalfOpen int64 // logged in; not yet
	Held              int64 // of HalfOpen: refused, and not told so yet
}

// PoolGauge sums the pools that lead to one database: what a client's name or role is, is no label.
type PoolGauge struct {
	Upstream, Database               string
	ClientsActive, ClientsWaiting    int
	Active, Idle, Connecting, Ending int // server connections
	MaxWait                          time.Duration
}

// TrafficGauge is what sessions of one database have done since the start.
type TrafficGauge struct {
	Database              string
	Transactions, Queries int64
	BytesIn, BytesOut     int64 // from clients, to clients
}

// AuditGauge is the state of the record.
type AuditGauge struct {
	Lost, Lines, Bytes, Failures uint64
	Refused                      uint64 // records whose caller was told that they failed
	Queued                       int
	Healthy                      bool
}

// SinkGauge is a copy of the record.
type SinkGauge struct {
	Name                string
	Delivered, Failures uint64 // lines, repeated ones too; batches
	Differing           uint64 // lines that were there already, and otherwise
	Healthy             bool
}

// ReloadGauge is the last reload of the configuration, or of a listener's certificates.
type ReloadGauge struct {
	Listener    string // "": the configuration
	Successful  bool
	LastSuccess time.Time
}

// CertificateGauge is a certificate that was loaded. Position tells those of one kind apart.
type CertificateGauge struct {
	Listener, Kind string
	Position       int
	// NotBefore tells what is short of a life: an hour may be, or a month.
	NotBefore, NotAfter time.Time
}

// CRLGauge is a revocation list that was loaded.
type CRLGauge struct {
	Listener   string
	Position   int
	NextUpdate time.Time
}

// scrape turns Gauges into metrics.
type scrape struct{ gauges func() Gauges }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

var (
	descReady       = desc("ready", "Whether new logins are served.")
	descConnections = desc("connections", "Client connections, by listener and state.", "listener", "state")
	descHeld        = desc("refusals_held", "Connections that are refused and wait for login_backoff until they are told, by listener.", "listener")
	descSessions    = desc("sessions", "Open sessions, by map.", "map")
	descClients     = desc("pool_clients", "Sessions by database and state.", "upstream", "database", "state")
	descServers     = desc("pool_servers", "Server connections by database and state.", "upstream", "database", "state")
	descMaxWait     = desc("pool_maxwait_seconds", "How long the first in the queue has waited.", "upstream", "database")
	descPinned      = desc("pool_pinned", "Server connections that a client in transaction mode keeps.", "upstream")
	descXacts       = desc("transactions_total", "Transactions, by database.", "database")
	descQueries     = desc("queries_total", "Queries, by database.", "database")
	descBytes       = desc("bytes_total", "Bytes of clients' connections, by database and direction.", "database", "direction")
	descLost        = desc("audit_lost_total", "Audit records dropped because the queue was full.")
	descLines       = desc("audit_records_total", "Audit lines written.")
	descAuditBytes  = desc("audit_bytes_total", "Bytes of audit lines written.")
	descRefused     = desc("audit_refused_total", "Audit records whose statement or login was refused since they could not be written.")
	descSinkLines   = desc("audit_sink_lines_total", "Audit lines delivered to a sink, repeated ones too.", "sink")
	descSinkDiffers = desc("audit_sink_differing_total", "Audit lines that a sink had already, and otherwise than they were written.", "sink")
	descSinkFails   = desc("audit_sink_failures_total", "Batches of audit lines that a sink did not take.", "sink")
	descSinkHealthy = desc("audit_sink_healthy", "Whether a sink took the last batch.", "sink")
	descFailures    = desc("audit_failures_total", "Writes of the audit that failed.")
	descQueued      = desc("audit_queued", "Audit records waiting to be written.")
	descHealthy     = desc("audit_healthy", "Whether the audit can be written.")
	descReloaded    = desc("config_last_reload_successful", "Whether the last reload of the configuration was taken.")
	descReloadedAt  = desc("config_last_reload_success_timestamp_seconds", "When a configuration was last taken.")
	descTrust       = desc("trust_last_reload_successful", "Whether a listener's last reload of certificates and revocation lists was taken.", "listener")
	descTrustAt     = desc("trust_last_reload_success_timestamp_seconds", "When a listener's certificates and revocation lists were last taken.", "listener")
	descNotAfter    = desc("certificate_not_after_timestamp_seconds", "End of a loaded certificate.", "listener", "kind", "position")
	descNotBefore   = desc("certificate_not_before_timestamp_seconds", "Beginning of a loaded certificate.", "listener", "kind", "position")
	descNextUpdate  = desc("crl_next_update_timestamp_seconds", "When a loaded revocation list is to be replaced.", "listener", "position")
	descLocks       = desc("locks", "Certificates and identities that are locked.")
)

// Describe sends nothing: which series there are depends on the configuration.
func (s *scrape) Describe(chan<- *prometheus.Desc) {}

// Collect sends the gauges of now.
func (s *scrape) Collect(ch chan<- prometheus.Metric) {
	g := s.gauges()
	set := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	set(descReady, flag(g.Ready))
	set(descLocks, float64(g.Locks))
	for _, l := range g.Listeners {
		set(descConnections, float64(l.Clients), l.Name, "open")
		set(descConnections, float64(l.HalfOpen), l.Name, "half_open")
		set(descHeld, float64(l.Held), l.Name)
	}
	for name, n := range g.Sessions {
		set(descSessions, float64(n), name)
	}
	for name, n := range g.Pinned {
		set(descPinned, float64(n), name)
	}
	for _, p := range g.Pools {
		p.collect(set)
	}
	for _, t := range g.Traffic {
		count(descXacts, float64(t.Transactions), t.Database)
		count(descQueries, float64(t.Queries), t.Database)
		count(descBytes, float64(t.BytesIn), t.Database, "in")
		count(descBytes, float64(t.BytesOut), t.Database, "out")
	}
	count(descLost, float64(g.Audit.Lost))
	count(descLines, float64(g.Audit.Lines))
	count(descAuditBytes, float64(g.Audit.Bytes))
	count(descFailures, float64(g.Audit.Failures))
	count(descRefused, float64(g.Audit.Refused))
	for _, s := range g.Sinks {
		count(descSinkLines, float64(s.Delivered), s.Name)
		count(descSinkFails, float64(s.Failures), s.Name)
		count(descSinkDiffers, float64(s.Differing), s.Name)
		set(descSinkHealthy, flag(s.Healthy), s.Name)
	}
	set(descQueued, float64(g.Audit.Queued))
	set(descHealthy, flag(g.Audit.Healthy))
	for _, r := range g.Reloads {
		r.collect(set)
	}
	for _, c := range g.Certificates {
		set(descNotBefore, unix(c.NotBefore), c.Listener, c.Kind, strconv.Itoa(c.Position))
		set(descNotAfter, unix(c.NotAfter), c.Listener, c.Kind, strconv.Itoa(c.Position))
	}
	for _, u := range g.Upstreams {
		u.collect(set)
	}
	for _, c := range g.CRLs {
		set(descNextUpdate, unix(c.NextUpdate), c.Listener, strconv.Itoa(c.Position))
	}
}

type setter func(d *prometheus.Desc, v float64, labels ...string)

func (p PoolGauge) collect(set setter) {
	set(descClients, float64(p.ClientsActive), p.Upstream, p.Database, "active")
	set(descClients, float64(p.ClientsWaiting), p.Upstream, p.Database, "waiting")
	set(descServers, float64(p.Active), p.Upstream, p.Database, "active")
	set(descServers, float64(p.Idle), p.Upstream, p.Database, "idle")
	set(descServers, float64(p.Connecting), p.Upstream, p.Database, "login")
	set(descServers, float64(p.Ending), p.Upstream, p.Database, "closing")
	set(descMaxWait, p.MaxWait.Seconds(), p.Upstream, p.Database)
}

func (r ReloadGauge) collect(set setter) {
	if r.Listener == "" {
		set(descReloaded, flag(r.Successful))
		set(descReloadedAt, unix(r.LastSuccess))
		return
	}
	set(descTrust, flag(r.Successful), r.Listener)
	set(descTrustAt, unix(r.LastSuccess), r.Listener)
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
