// Package e2e runs the real program against a real PostgreSQL: one server with its roles and
// certificates for all tests of a binary, and a broker process per test with the configuration that
// the test is about.
//
// It makes no assertions of its own: those are the tests'.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/race"
)

// Roles that exist on the server and that its pg_ident.conf lets the broker log in as. `missing` is
// mapped there, too, but is no role.
var Roles = []string{"alice", "bob", "billing_rw", "billing_ro", "app", "limited", "boss"}

// World is what the tests of one binary share.
type World struct {
	*pki.Env
	PG     *pgserver.Server
	binary string
}

var shared struct {
	mu     sync.Mutex
	world  *World
	others map[int]*World // by major version of PostgreSQL
	dir    string
}

// Main runs a binary's tests and removes what they shared: os.Exit(e2e.Main(m)).
func Main(m *testing.M) int {
	code := pgserver.Main(m)
	if shared.dir != "" {
		os.RemoveAll(shared.dir)
	}
	return code
}

// Shared returns the world of this test binary, which the first caller makes.
func Shared(t *testing.T) *World {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.world == nil {
		shared.world = newWorld(t)
	}
	return shared.world
}

// On returns the world with PostgreSQL of that major version, which the first caller starts.
func (w *World) On(t *testing.T, major int) *World {
	t.Helper()
	if w.PG.Major == major {
		return w
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if other := shared.others[major]; other != nil {
		return other
	}
	other := *w
	other.PG = pgserver.Shared(t, fmt.Sprint("e2e on ", major), func() pgserver.Options {
		o := w.serverOptions()
		o.Version = major
		return o
	})
	other.createRoles(t)
	if shared.others == nil {
		shared.others = make(map[int]*World)
	}
	shared.others[major] = &other
	return &other
}

// newest is the newest major version of PostgreSQL that is tested with.
const newest = 18

// onEach runs a test with the PostgreSQL that is installed and with the newest one: what servers report and
// how they take a batch is not the same.
func onEach(t *testing.T, test func(t *testing.T, w *World)) {
	t.Helper()
	for _, major := range []int{Shared(t).PG.Major, newest} {
		w := Shared(t).On(t, major)
		t.Run(fmt.Sprint("PostgreSQL ", major), func(t *testing.T) { test(t, w) })
	}
}

// keeper is a testing.TB whose folder outlives the test.
type keeper struct{ *testing.T }

func (k keeper) TempDir() string {
	dir, err := os.MkdirTemp(shared.dir, "pki")
	if err != nil {
		k.Fatal(err)
	}
	return dir
}

func newWorld(t *testing.T) *World {
	dir, err := os.MkdirTemp("", "pgsignet-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	shared.dir = dir
	w := &World{Env: pki.New(keeper{t})}
	w.binary = build(t, filepath.Join(dir, "pgsignet"))
	w.PG = pgserver.Shared(t, "e2e", w.serverOptions)
	w.createRoles(t)
	return w
}

// ServerTLS is what PostgreSQL serves with: it trusts the broker's CA and nobody else.
func (w *World) ServerTLS(leaf *pki.Leaf) pgserver.TLS {
	cert, key := w.WriteLeaf(leaf, "postgres")
	return pgserver.TLS{Cert: cert, Key: key, CA: w.WriteCA(w.Broker, "broker-ca")}
}

func (w *World) serverOptions() pgserver.Options {
	return pgserver.Options{Version: version(), TLS: w.ServerTLS(w.Server("localhost")), Ident: IdentLines(), HBA: []string{
		"hostssl all,replication all 127.0.0.1/32 cert map=pgsignet",
		"host all all 0.0.0.0/0 reject",
	}}
}

// IdentLines are pg_ident.conf lines that let the broker's certificate log in as each of Roles.
func IdentLines() []string {
	var lines []string
	for _, role := range append(Roles, "missing") {
		lines = append(lines, "pgsignet broker "+role)
	}
	return lines
}

func (w *World) createRoles(t *testing.T) {
	ctx := context.Background()
	for _, role := range Roles {
		var attributes []string
		if role == "boss" {
			attributes = []string{"SUPERUSER", "REPLICATION"}
		}
		if err := w.PG.CreateRole(ctx, role, attributes...); err != nil {
			t.Fatal(err)
		}
	}
	for _, database := range []string{"orders", "stock"} {
		if err := w.PG.CreateDatabase(ctx, database, "app"); err != nil {
			t.Fatal(err)
		}
	}
}

// build compiles the program, with the race detector when the tests have it.
func build(t *testing.T, to string) string {
	args := []string{"build", "-o", to}
	if race.Enabled {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "github.com/pgsignet/pgsignet/cmd/pgsignet")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return to
}

// Binary is the path of the program under test.
func (w *World) Binary() string { return w.binary }

// Poll calls ok until it says yes, for a minute at most: far longer than anything takes, on a machine that is busy.
func Poll(t testing.TB, what string, ok func() bool) {
	t.Helper()
	PollFor(t, time.Minute, what, ok)
}

// PollFor is Poll for what may take longer.
func PollFor(t testing.TB, longest time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(longest)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for: %s", longest, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Exec runs SQL as PostgreSQL's superuser.
func (w *World) Exec(t testing.TB, database, sql string) {
	t.Helper()
	if err := w.PG.ExecIn(context.Background(), database, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// Backends is the number of PostgreSQL's client backends logged in as role.
func (w *World) Backends(t testing.TB, role string) int {
	t.Helper()
	conn, err := w.PG.Connect(context.Background(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var n int
	if err := conn.QueryRow(context.Background(),
		fmt.Sprintf("SELECT count(*) FROM pg_stat_activity WHERE usename = '%s'", role)).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// version is the major version of PostgreSQL to test with: PGSIGNET_PG, as in PGSIGNET_PG=18, or 0 for
// whichever is found.
func version() int {
	n, _ := strconv.Atoi(os.Getenv("PGSIGNET_PG"))
	return n
}
