package audit

import (
	"time"
)

// Event names what a line records.
type Event string

// The events. The comment names the groups a record of it carries.
const (
	SessionOpen   Event = "session.open"   // Client, Cert, Rule, Requested, Granted, Upstream, Setup
	SessionDenied Event = "session.denied" // Client, Cert, Rule, Requested as far as known; Denial
	SessionClose  Event = "session.close"  // End
	Statement     Event = "statement"      // the references, Upstream, Stmt
	CopyDone      Event = "copy"           // Copy
	CancelRequest Event = "cancel"         // Cancel
	AdminAction   Event = "admin.action"   // CertSHA256 and Map unless by socket; Action
	ConfigReload  Event = "config.reload"  // Reload
	TrustReload   Event = "trust.reload"   // Reload
	Minted        Event = "mint"           // Mint

	// Written by this package alone.
	checkpointEvent Event = "checkpoint"
	prunedEvent     Event = "pruned"
)

// Level says how much of a session is recorded. A map may override the configured one.
type Level string

// The levels, each holding the one before it. Which records a level takes is the caller's to obey;
// this package writes what it is given.
const (
	LevelSession   Level = "session"   // logins, refusals, cancels, administration
	LevelStatement Level = "statement" // + statements without parameter values, copy
	LevelFull      Level = "full"      // + values and types; parse, close, and bind of a portal never executed
)

// Record is one event. Log.Append and its kin take it over: neither it nor what it points to may
// change afterwards, but the struct itself may be reused, since the log keeps a copy.
//
// Strings may hold any bytes: names are cut at 1 KiB, lists at 32, and what is not UTF-8 becomes
// base64 under the field's name with _b64 appended.
type Record struct {
	Time  time.Time // when it happened; zero is set to now by Append
	Event Event
	SID   string // UUIDv7 of the session, lower case; the reference that a refused client sees

	// References of a statement to its session, repeated so that a search needs no join.
	CertSHA256, Map, Role, Database string

	Client    *Client
	Cert      *Cert
	Rule      *Rule
	Requested *Requested
	Granted   *Granted
	Upstream  *Upstream
	Setup     *Setup
	Denial    *Denial
	Shadow    *Shadow
	Stmt      *Stmt
	Copy      *Copy
	Cancel    *Cancel
	Action    *Action
	Reload    *Reload
	Mint      *Mint
	End       *End

	refs   *Refs   // of a statement that came with them: instead of SID and the references
	pruned *pruned // of prunedEvent
}

// Pair is a name with a value: a start-up parameter, or a certificate extension by OID.
type Pair struct{ Name, Value string }

// Client is the client's side of a connection.
type Client struct {
	Addr      string // host:port, unmapped; the PROXY header's where there is one
	Proxy     string // host:port of the PROXY header's sender
	Listener  string
	TLS       string // "1.2" or "1.3"
	Cipher    string // IANA name
	Group     string // key exchange
	ALPN      string
	SNI       string
	DirectTLS bool
	Protocol  string // of PostgreSQL: "3.0" or "3.2"
	App       string // application_name
}

// Cert is a client certificate. Hashes and serials are lower-case hex, DNs RFC 2253.
type Cert struct {
	SHA256, SPKISHA256 string
	RootSHA256         string // the trust anchor
	Serial             string
	Issuer, Subject    string
	CN                 string
	O, OU              []string
	Email, DNS, URI    []string
	IP                 []string
	SPIFFE             string
	Ext                []Pair // string-typed extensions, by OID; at most 32 are written
	NotBefore          time.Time
	NotAfter           time.Time
	Revocation         string   // none, crl, ocsp
	Tolerated          []string // reasons that a stricter crl_policy or ocsp would have refused it for
}

// Rule is the map that granted or the deny that refused.
type Rule struct {
	Kind         string // map, deny
	Name         string
	File         string
	Line         int
	Matched      []string // attributes that fitted
	Captures     []string
	ConfigSHA256 string
}

// Requested is what the client asked for.
type Requested struct {
	User, Database string
	Params         []Pair // other start-up parameters, in the client's order
}

// Granted is what it got.
type Granted struct {
	Role, Database string
	PoolMode       string
	Level          Level
	Admin          string    // viewer, operator
	Expires        time.Time // when the grant ends
}

// Upstream is a server connection. A statement gives Conn and PID alone, a session that begins without
// one Name.
type Upstream struct {
	Name         string
	Addr         string // host:port
	Conn         uint64 // our number of it
	PID          uint32 // the server's
	Reused       bool
	Generation   uint64 // of the pool
	CertSerial   string // of the certificate we logged in with
	CertNotAfter time.Time
}

// Setup is where the time of a login went.
type Setup struct{ TLS, Policy, Queue, Connect time.Duration }

// Denial is why a client was refused.
type Denial struct {
	Stage    string // tls, startup, policy, pool
	Reason   string // of the closed set
	SQLState string
	Message  string // as sent
	Detail   string // internal
	Count    int    // refusals folded into this line; 0 counts as 1
	// Undecidable: a refusal by the policy whose line lacks what replay needs.
	Undecidable bool
}

// Shadow is what a shadow policy would have decided, where that is not what was decided.
type Shadow struct {
	Verdict        string   // granted, refused
	Differs        []string // verdict; or map, role, database, admin
	Reason         string   // of a refusal
	Rule           *Rule    // that granted, refused or came furthest
	Role, Database string
	Admin          string
}

// Phase says which half of a statement a record holds.
type Phase string

// The phases: both in one under best effort; strict writes the start before the statement is sent.
const (
	PhaseAll   Phase = "all"
	PhaseStart Phase = "start" // text and parameters
	PhaseEnd   Phase = "end"   // outcome
)

// Stmt is a statement, or a step of one.
type Stmt struct {
	ID     uint64 // within the session, from 1
	Phase  Phase
	Op     string // query, execute, function, parse, bind, close, sync
	OID    uint32 // of a function
	Name   string // prepared statement
	Portal string

	// Text is the statement, resolved for prepared ones: whole, or its first 256 KiB. TextLen is
	// the length of the whole in bytes, when Text is not; TextSHA256 its hash in hex, when known by
	// then. Passwords in Text are masked, patterns redacted and FingerprintOnly obeyed by the log;
	// an end has no Text, so its caller asks Log.Hides of the first part before it gives a hash.
	Text            string
	TextLen         int64
	TextSHA256      string
	FingerprintOnly bool

	NParams int
	Types   []uint32 // as declared; 0 is unspecified
	Params  []Value  // level full

	// Outcome: end, all.
	Tags     []string // command tags
	NTags    int      // how many there were, when Tags has not all of them
	SQLState string   // 00000 when it succeeded
	Message  string   // of an error
	Rows     int64    // affected
	RowsOut  int64    // DataRows
	BytesIn  int64
	BytesOut int64
	Queue    time.Duration // until a server connection was held
	Exec     time.Duration // to ReadyForQuery
	Tx       byte          // I, T or E; 0: unknown
	Undone   bool          // it succeeded and was then rolled back
	Undoes   uint64        // with it the session's statements from this ID on were rolled back; 0: none
	Perhaps  bool          // of Undoes: unless a part of them was committed before
}

// Value is a bind parameter.
type Value struct {
	Bytes  []byte
	Len    int // of the whole, in bytes, when Bytes is its front; else 0
	Null   bool
	Binary bool // sent in binary format: recorded as base64
}

// Copy is the data phase of a COPY.
type Copy struct {
	Stmt      uint64 // Stmt.ID
	Direction string // in, out, both (replication)
	Format    string // text, binary
	Columns   int
	Rows      int64
	Bytes     int64
	SQLState  string
	Exec      time.Duration
}

// Cancel is a CancelRequest that matched a session.
type Cancel struct {
	Addr       string // host:port
	TLS        string // "" is plaintext
	CertSHA256 string
	Stmt       uint64 // Stmt.ID it was meant for
	PID        uint32
	Result     string
}

// Action is a command of an administrator.
type Action struct {
	Via    string // console, socket
	UID    *int   // of the socket's peer
	Phase  Phase  // strict: start before it acts, end with the result; else ""
	Verb   string
	Args   []string
	Result string
	Error  string
}

// Reload is a change of configuration or of trust.
type Reload struct {
	Cause                string // start, signal, file, command
	OldSHA256, NewSHA256 string
	Result, Error        string
	Ended                int // sessions
	Listener             string
	CAs, CRLs            []string
}

// Mint is a certificate made for a login upstream.
type Mint struct {
	Upstream, Role string
	Serial, SHA256 string
	NotAfter       time.Time
}

// End is how a session ended.
type End struct {
	Reason     string // of the broker's closed set: client_closed, killed, locked, audit_failed…
	SQLState   string
	Message    string
	Duration   time.Duration
	Statements int64
	Errors     int64
	Cancels    int64
	Rows       int64
	BytesIn    int64
	BytesOut   int64
	Undoes     uint64 // the statements from this Stmt.ID on, of a transaction that was open, were rolled back; 0: none
	Perhaps    bool   // of Undoes: unless they were committed unseen
}
