package admin

import "time"

// State is what the console shows: the broker at one moment, as plain values.
type State struct {
	Now       time.Time
	Console   string // the name of the console's database
	Sessions  []Session
	HalfOpen  int // connections that are not logged in
	Servers   []Server
	Pools     []Pool
	Databases []Database
	Users     []User
	Totals    []Stats // since the start, by database
	Averages  []Stats // per second or per item, over the last period
	Certs     []Cert
	Maps      []Map
	Locks     []Lock
	Trust     []Trust
	Settings  []Setting
	Memory    []Memory
	Paused    bool // everything is
}

// Session is one logged-in client.
type Session struct {
	ID                            int32
	SID                           string
	State                         string // active, idle, waiting
	Console                       bool   // of the console: no server, no pool
	Role, Database, Map           string
	Replication                   string // none, logical, physical
	PoolMode, Pinned              string
	Addr, LocalAddr               string
	Port, LocalPort               int
	Connected, Requested          time.Time
	Wait                          time.Duration // for a server connection
	Server                        string        // Server.Ptr, or ""
	ServerPID                     uint32
	TLS, App                      string
	Prepared                      int
	Subject, Issuer, Serial, Cert string // of the certificate; Cert is its SHA-256
	SPIFFE                        string
	NotAfter                      time.Time
	Statements, BytesIn, BytesOut int64
}

// Server is one server connection.
type Server struct {
	Ptr                  string
	State                string // active, idle, new
	Role, Database       string
	Replication          string
	Addr, LocalAddr      string
	Port, LocalPort      int
	Connected, Requested time.Time
	Session              string // who has it, Session.SID
	PID                  uint32
	TLS                  string
	Doomed               bool
	ID                   int32
}

// Pool is the server connections and the queue of a database and role.
type Pool struct {
	Database, Role    string
	Active, Waiting   int // clients
	Used, Idle, Login int // servers
	MaxWait           time.Duration
	Mode              string
}

// Database is a name that clients may connect to.
type Database struct {
	Name, Host, DBName          string
	Port                        int
	PoolSize, MinIdle           int
	MaxLifetime                 time.Duration
	Mode                        string
	MaxConnections, Connections int
	Clients                     int
	Paused, Disabled            bool
}

// User is a role that sessions have.
type User struct {
	Name                 string
	Connections, Clients int
}

// Stats are PgBouncer's statistics of one database; times in microseconds.
type Stats struct {
	Database string
	Values   [11]int64 // in the order of statNames
}

// Cert is a certificate that was presented and believed.
type Cert struct {
	SHA256, Serial, Issuer, Subject, SPIFFE string
	NotAfter                                time.Time
	Revocation                              string // none, crl, ocsp, revoked
	Locked                                  bool
	Sessions                                int
	Refused                                 int64
	LastSeen                                time.Time
}

// Map is a rule and what it has decided.
type Map struct {
	Kind, Name, Source, Match, Roles, Databases string
	Sessions                                    int
	Granted, Refused                            int64
	LastUsed                                    time.Time // zero: never
}

// Lock is a certificate or an identity that may not log in.
type Lock struct {
	Target
	IssuerKeys []string  `json:"issuer_keys,omitempty"` // SHA-256 of the issuer's public key; of a serial
	Reason     string    `json:"reason,omitempty"`
	By         string    `json:"by"`
	At         time.Time `json:"at"`
	Until      time.Time `json:"until,omitzero"` // zero: for good
}

// Trust is what a listener shows or believes: a certificate or a revocation list.
type Trust struct {
	Listener, Kind      string // kind: server, client_ca, spiffe:DOMAIN, crl
	Subject             string // of a list its issuer
	SHA256, Number      string // of a certificate; of a list
	NotBefore, NotAfter time.Time
	Entries             int    // of a list
	File                string // of a list
	Unusable            string // why a list never counts
}

// Setting is one line of SHOW CONFIG.
type Setting struct {
	Key, Value, Default string
	Changeable          bool // a reload takes it
}

// Memory is one line of SHOW MEM.
type Memory struct {
	Name             string
	Size, Used, Free int
}
