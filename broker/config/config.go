// Package config reads pgsignet's HCL files into one Config: plain values, checked, with
// absolute paths and parsed durations and sizes.
//
// It does not decide logins (policy), keep certificates (broker/trust) or start anything, it
// creates no file, and it never logs: what is wrong comes back as Problems.
package config

import (
	"net/netip"
	"time"

	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/hclfile"
)

// Config is everything the files say, with defaults filled in. It is not changed after Load.
type Config struct {
	// Node is this process's name in audit and metrics; default: the host's name.
	Node string
	// RuntimeDir holds the socket through which a new process takes over; "" is no hand-over.
	RuntimeDir string

	Listeners []Listener
	Upstreams []Upstream
	Databases []Database
	Rules     []policy.Rule // maps and denies, in file order
	Tests     []hclfile.Test
	Audit     Audit
	Admin     Admin
	Log       Log
	Shutdown  Shutdown

	// Files are the HCL files in the order they were read, as the caller named them.
	Files []string
	// SHA256 is the lower-case hex digest over the files' contents in that order.
	SHA256 string

	// Shadow is a second configuration whose rules decide every login beside these; nil: none.
	Shadow *Config

	policy *policy.Policy
}

// Listener is one socket that clients connect to.
type Listener struct {
	Name    string
	Address string // host:port; "" when only Socket is given
	Socket  string // name of a systemd socket, used instead of Address when it is passed

	ReusePort bool // other processes may listen on Address, too

	CertFile, KeyFile string   // "" only with SPIFFE.WorkloadAPI, which then gives a certificate
	ClientCA          []string // PEM bundles; empty only with SPIFFE
	CRL               []string // files or directories
	CRLPolicy         string   // strict | grace | warn
	CRLGrace          time.Duration
	OCSP              string // off | lax | strict
	MinTLS            uint16 // tls.VersionTLS12 or tls.VersionTLS13
	SessionTickets    bool
	OCSPStaple        bool
	OnExpiry          string // disconnect | drain | allow
	ExpiryNotice      time.Duration
	SPIFFE            *SPIFFE // nil: none

	MaxClients         int
	MaxHandshakes      int
	HalfOpen           int
	HalfOpenPerAddress int
	ProxyProtocol      []netip.Prefix
	PlaintextCancel    bool
	Admin              bool

	HandshakeTimeout         time.Duration
	LoginBackoff             time.Duration // 0: off
	WriteTimeout             time.Duration
	OpenBatchTimeout         time.Duration
	IdleInTransactionTimeout time.Duration // 0: off
}

// SPIFFE names the sources of trust bundles.
type SPIFFE struct {
	WorkloadAPI string              // socket URL; "" is none
	Bundles     map[string][]string // trust domain to PEM files
}

// Upstream is a PostgreSQL server, or several that stand for one.
type Upstream struct {
	Name           string
	Hosts          []string // host:port, tried in order
	Target         string   // any | read-write | read-only | primary | standby | prefer-standby
	CAFile         string
	ServerName     string // "": each host's own name
	Negotiation    string // postgres | direct
	ConnectTimeout time.Duration
	MaxConnections int
	Credential     Credential
	Pool           Pool
}

// Kinds of Credential.
const (
	CredentialCertificate = "certificate"
	CredentialIssuer      = "issuer"
	CredentialPassword    = "password"
)

// Credential is how the broker logs in upstream.
type Credential struct {
	Kind              string
	CertFile, KeyFile string        // certificate, issuer
	Lifetime          time.Duration // issuer: of a minted certificate
	MintsPerMinute    int           // issuer
	PasswordFile      string        // password: a path in which {role} is replaced
}

// Pool holds the limits of an upstream's pools.
type Pool struct {
	Mode               string // session | transaction
	Share              string // role | map | identity
	Size               int
	MinIdle            int
	WaitTimeout        time.Duration
	IdleTimeout        time.Duration
	MaxLifetime        time.Duration
	Reset              string // smart | always
	ResetTimeout       time.Duration
	MaxPinned          int
	LoginCheck         time.Duration
	EvictOnDrop        bool
	PreparedStatements int
}

// Database is a name that clients may connect to.
type Database struct {
	Name        string // "*": every other name
	Upstream    string
	DBName      string // name on the server; "" for "*"
	IdentityKey string // key file of `stamp` token; "" is none
}

// Audit says where and how access is recorded.
type Audit struct {
	Directory         string
	Level             string // session | statement | full
	Delivery          string // best_effort | strict
	SegmentSize       int64  // bytes
	SegmentAge        time.Duration
	MaxStatementBytes int64
	CheckpointKey     string   // Ed25519 key file, made on first start
	Redact            []string // RE2 expressions that compile
	Sinks             []Sink
}

// Kinds of Sink.
const (
	SinkPostgres = "postgres"
	SinkSyslog   = "syslog"
)

// Sink is a second place that audit records are copied to.
type Sink struct {
	Kind           string
	DSNFile, Table string // postgres
	Address        string // syslog: URL with scheme tls, tcp, udp or unix
	CAFile         string // syslog over TLS; "" is the system's pool
	// CertFile and KeyFile are shown to a syslog server over TLS that asks for a certificate; "" is none.
	CertFile, KeyFile string
}

// Admin is the HTTP endpoint and the console.
type Admin struct {
	Address           string // host:port of HTTP; "" is off
	CertFile, KeyFile string // TLS for Address; "" is none
	ClientCA          []string
	Socket            string // path of the CLI's socket; "" is none
	Database          string // the console's database name
	LocksFile         string // "": locks end with the process
}

// Log is the operations log, on standard error.
type Log struct {
	Level  string // debug | info | warn | error
	Format string // json | console
}

// Shutdown bounds the end.
type Shutdown struct {
	DrainTimeout   time.Duration
	UpgradeTimeout time.Duration // how long sessions may stay once a new process has taken over; 0: as they like
}

// descriptorReserve is what a process needs beside connections: listeners, audit segments,
// sockets of the console and of sinks, watched directories.
const descriptorReserve = 64

// Descriptors is how many file descriptors serving this Config may need at once: logged-in and
// half-open clients, server connections, one cancel request per server connection, a reserve.
func (c *Config) Descriptors() int {
	n := descriptorReserve
	for _, l := range c.Listeners {
		n += l.MaxClients + l.HalfOpen
	}
	for _, u := range c.Upstreams {
		n += 2 * u.MaxConnections
	}
	return n
}
