package policy

import (
	"net/netip"
	"time"

	"github.com/pgsignet/pgsignet/policy/identity"
)

// Request is one login to decide.
type Request struct {
	Identity        *identity.Identity
	Listener        string
	Addr            netip.Addr // the client's; IPv4 in IPv6 is unmapped before it is compared
	User            string
	Database        string // "": the user's name, as in PostgreSQL
	ApplicationName string
	Replication     bool      // asks for a replication connection
	Now             time.Time // of the login; a reload decides with it again
}

// Grant is what a login may do. It is shared: treat its slices as read-only.
type Grant struct {
	Rule     RuleRef
	Matched  []string // attributes of `match` that fitted
	Captures []string // of the map's expression, from \1 on; a group that took no part is ""

	Role     string // the upstream login; for Admin, the user as asked
	Upstream string // "" for Admin
	Database string // as asked
	DBName   string // on the server; "" for Admin

	PoolMode        string // "": the upstream's default
	Audit           string // "": the audit block's level
	Admin           string // "" | viewer | operator
	Replication     bool   // the map lets replication connections in
	FingerprintOnly bool
	Limits          Limits
	Session         Session

	IdentityKey string // who limits count: the SPIFFE ID, else the DN, else the alternative names (T93)
}

// Session is what a map sets for the sessions it grants.
type Session struct {
	ReadOnly         bool
	StatementTimeout time.Duration // zero: none
	IdleTimeout      time.Duration // zero: none
	MaxDuration      time.Duration // zero: none
	Settings         []Setting     // by name
	Stamp            []string
	StampSet         bool // tells an empty Stamp from an absent one
}

// Setting is a PostgreSQL setting with its value for this login.
type Setting struct{ Name, Value string }
