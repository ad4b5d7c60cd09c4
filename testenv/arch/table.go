package arch

// Module is the path of this repository's module.
const Module = "github.com/pgsignet/pgsignet"

// Rule says what one package may import beyond the standard library, and what it must not.
// docs/architecture.md shows the same table.
type Rule struct {
	Package string   // below Module; "testenv/..." covers all packages below testenv
	May     []string // paths; ours are given below Module. A trailing "..." covers what lies below
	Never   []string // named because somebody will be tempted; the standard library's belong here
	Tests   []string // what its test files may import besides; ours are given below Module
	Calls   []string // functions of the standard library that must not be called: "time.Now"
	Why     string   // the reason, in half a sentence
}

// anything in May lifts every restriction but those of Never and of the whole tree.
const anything = "anything"

// clock are the calls that read the time: a decision must not depend on when it is made.
var clock = []string{"time.Now", "time.Since", "time.Until", "time.After", "time.NewTimer", "time.AfterFunc"}

// Table is the import policy. A package without a rule may not exist: a new package, or a new arrow,
// is a line here and a reason in the commit.
var Table = []Rule{
	{
		Package: "pgwire",
		May:     []string{"github.com/jackc/pgproto3/v2", "github.com/jackc/pgx/v5/pgproto3"},
		Never:   []string{"crypto/tls", "net"},
		Why:     "bytes in, values out; the only place for the archived codec",
	},
	{
		Package: "pgwire/sqllex",
		Never:   []string{"net", "os"},
		Why:     "a lexer, used by relay and audit",
	},
	{
		Package: "policy/identity",
		May:     []string{"github.com/spiffe/go-spiffe/v2/spiffeid", "golang.org/x/crypto/cryptobyte..."},
		Never:   []string{"policy", "net", "os"},
		Calls:   clock,
		Why:     "reads a certificate that was verified elsewhere; cryptobyte for names crypto/x509 loses",
	},
	{
		Package: "policy",
		May:     []string{"policy/identity", "github.com/zclconf/go-cty/cty..."},
		Never:   []string{"github.com/hashicorp/hcl/v2...", "pgwire", "net", "net/http", "os", "io/fs"},
		Calls:   clock,
		Why:     "decides from its input alone: no network, no files, no clock",
	},
	{
		Package: "policy/hclfile",
		May:     []string{"policy", "policy/identity", "github.com/hashicorp/hcl/v2...", "github.com/zclconf/go-cty/cty..."},
		Never:   []string{"broker..."},
		Why:     "rules as text",
	},
	{
		Package: "broker/trust",
		May: []string{"policy/identity", "golang.org/x/crypto/ocsp", "golang.org/x/crypto/cryptobyte...",
			"github.com/fsnotify/fsnotify"},
		Never: []string{"pgwire", "policy"},
		Why:   "certificates and nothing else",
	},
	{
		Package: "broker/trust/workload",
		May: []string{"github.com/spiffe/go-spiffe/v2/workloadapi", "github.com/spiffe/go-spiffe/v2/spiffeid",
			"github.com/spiffe/go-spiffe/v2/svid/x509svid", "github.com/spiffe/go-spiffe/v2/bundle/x509bundle"},
		Never: []string{"pgwire", "policy"},
		Why:   "keeps gRPC out of everything else",
	},
	{
		Package: "broker/durable",
		Why:     "one file, replaced for good",
	},
	{
		Package: "broker/pki",
		May:     []string{"broker/durable"},
		Tests:   []string{"policy/identity"},
		Why:     "a development CA; its tests read what it issued as the broker would",
	},
	{
		Package: "broker/sock",
		May:     []string{"golang.org/x/sys/unix"},
		Never:   []string{"pgwire", "crypto/tls"},
		Why:     "the system calls and options of TCP sockets, for both edges; x/sys for TCP_USER_TIMEOUT",
	},
	{
		Package: "broker/downstream",
		May: []string{"pgwire", "broker/sock", "github.com/pires/go-proxyproto", "golang.org/x/sync/semaphore",
			"golang.org/x/sys/unix"},
		Never: []string{"policy", "broker/pool", "broker/audit", "broker/upstream"},
		Why:   "the client's edge; x/sys to look at a socket without reading it, semaphore for the cap on handshakes",
	},
	{
		Package: "broker/upstream",
		May:     []string{"pgwire", "broker/sock", "github.com/jackc/pgx/v5/pgconn", "github.com/jackc/pgx/v5/pgproto3"},
		Never:   []string{"policy", "broker/pool", "broker/audit", "broker/downstream"},
		Why:     "the server's edge",
	},
	{
		Package: "broker/pool",
		Never:   []string{"pgwire", "crypto/tls", "net"},
		Why:     "hands out connections it cannot read",
	},
	{
		Package: "broker/relay",
		May:     []string{"pgwire", "pgwire/sqllex", "broker/pool"},
		Never:   []string{"crypto/tls", "policy"},
		Why:     "messages both ways",
	},
	{
		Package: "broker/peer",
		May:     []string{"golang.org/x/sys/unix"},
		Never:   []string{"pgwire", "policy", "broker/audit"},
		Why:     "what the processes of an upgrade tell each other; x/sys for SO_PEERCRED",
	},
	{
		Package: "broker/stamp",
		Why:     "signs what PostgreSQL checks: the token and its SQL, no connection",
	},
	{
		Package: "broker/audit",
		May: []string{"pgwire/sqllex", "golang.org/x/mod/sumdb/note", "golang.org/x/mod/sumdb/tlog",
			"go.uber.org/zap...", "golang.org/x/sys/unix"},
		Never: []string{"pgwire", "policy"},
		Why:   "the record of access; zap for its JSON encoder alone, x/sys for fdatasync and file locks",
	},
	{
		Package: "broker/audit/sink",
		May:     []string{"broker/audit", "broker/durable", "github.com/jackc/pgx/v5..."},
		Never:   []string{"pgwire", "policy"},
		Why:     "the record as rows of a table",
	},
	{
		Package: "broker/config",
		May: []string{"policy", "policy/identity", "policy/hclfile", "github.com/hashicorp/hcl/v2...",
			"github.com/zclconf/go-cty/cty..."},
		Never: []string{"broker", "broker/trust", "broker/downstream", "broker/upstream", "broker/pool",
			"broker/relay", "broker/audit", "broker/admin", "pgwire"},
		Why: "files to plain values; knows no package that runs",
	},
	{
		Package: "broker/admin",
		May:     []string{"pgwire", "pgwire/sqllex", "github.com/prometheus/client_golang..."},
		Never:   []string{"policy/hclfile", "broker/config"},
		Why:     "metrics, health, console",
	},
	{
		Package: "broker",
		May: []string{"pgwire", "pgwire/sqllex", "policy", "policy/identity", "broker/trust", "broker/trust/workload",
			"broker/downstream", "broker/upstream", "broker/pool", "broker/relay", "broker/stamp", "broker/sock", "broker/peer", "broker/durable",
			"broker/audit", "broker/audit/sink", "broker/admin", "go.uber.org/zap...", "golang.org/x/sync...", "golang.org/x/sys/unix"},
		Never: []string{"broker/config", "broker/pki", "policy/hclfile", "github.com/hashicorp/hcl/v2..."},
		Why:   "one connection's life, and the only package below cmd that logs",
	},
	{
		Package: "cmd/pgsignet",
		May:     []string{anything},
		Why:     "puts the pieces together",
	},
	{
		Package: "testenv/...",
		May:     []string{anything},
		Why:     "what tests, demo and benchmark share; no program imports it, demo*.go of cmd/pgsignet aside",
	},
}

// TestModules may be imported by the test files of every package, beside what the package itself may
// import and beside testenv.
var TestModules = []string{
	"github.com/google/go-cmp/cmp...",
	"github.com/rogpeppe/go-internal/testscript...",
	"go.uber.org/goleak",
	"pgregory.net/rapid",
	"github.com/jackc/pgx/v5...",
	"golang.org/x/sync/errgroup",
	"golang.org/x/sys/unix",
	"golang.org/x/crypto/cryptobyte...",
	"golang.org/x/crypto/ocsp",
}
