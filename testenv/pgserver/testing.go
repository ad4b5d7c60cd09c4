package pgserver

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// TB is what this package uses of *testing.T; it does not import testing, since the demo links it.
type TB interface {
	Helper()
	Cleanup(func())
	Context() context.Context
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Start runs a server until the test ends. Without any PostgreSQL the test fails, with two remedies.
//
// With PGSIGNET_TEST_DSN set, that server is used as it is, by its superuser; a test whose options
// need a server of its own says that it did not run.
func Start(t TB, opts Options) *Server {
	t.Helper()
	if dsn := os.Getenv("PGSIGNET_TEST_DSN"); dsn != "" {
		return startExternal(t, dsn, opts)
	}
	s := startOwn(t, opts)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Logf("pgserver: %v", err)
		}
	})
	return s
}

func startOwn(t TB, opts Options) *Server {
	t.Helper()
	opts.CacheTemplate = true
	if opts.Logf == nil {
		opts.Logf = t.Logf
	}
	s, err := New(context.WithoutCancel(t.Context()), opts)
	if err != nil {
		t.Fatalf("pgserver: %v", err)
	}
	s.opts.Logf = nil // a shared server outlives this test
	return s
}

func startExternal(t TB, dsn string, opts Options) *Server {
	t.Helper()
	if opts.ownsServer() {
		t.Skipf("DID NOT RUN: this test needs a pg_hba.conf, certificates or settings of its own, and PGSIGNET_TEST_DSN is set")
	}
	s, err := External(t.Context(), dsn)
	if err != nil {
		t.Fatalf("pgserver: PGSIGNET_TEST_DSN: %v", err)
	}
	if opts.Version != 0 && opts.Version != s.Major {
		t.Skipf("DID NOT RUN: this test needs PostgreSQL %d, PGSIGNET_TEST_DSN is %s", opts.Version, s.Full)
	}
	t.Logf("using PostgreSQL %s of PGSIGNET_TEST_DSN", s.Full)
	return s
}

// External describes a running server of somebody else, reached as its superuser.
func External(ctx context.Context, dsn string) (*Server, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	full, _, _ := strings.Cut(conn.PgConn().ParameterStatus("server_version"), " ")
	inst, err := parseVersion("(PostgreSQL) "+full, "", "PGSIGNET_TEST_DSN")
	if err != nil {
		return nil, err
	}
	return &Server{Host: config.Host, Port: int(config.Port), Major: inst.Major, Full: inst.Full, Install: inst, external: dsn}, nil
}

// IsExternal says that the server is not ours: no log, no stop, no files.
func (s *Server) IsExternal() bool { return s.external != "" }

// MustExec is Exec for a test.
func (s *Server) MustExec(t TB, sql string) {
	t.Helper()
	if err := s.Exec(t.Context(), sql); err != nil {
		t.Fatalf("pgserver: %s: %v", sql, err)
	}
}

// SuperuserConn opens a superuser's connection to database "postgres" that ends with the test.
func (s *Server) SuperuserConn(t TB) *pgx.Conn {
	t.Helper()
	conn, err := s.Connect(t.Context(), "postgres")
	if err != nil {
		t.Fatalf("pgserver: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// shared holds the servers that several tests of one binary use, by name.
var shared struct {
	mu      sync.Mutex
	servers map[string]*Server
}

// Shared returns the server of that name, which the first caller starts with the options it makes.
// It lives until Main returns; in a binary without Main the guard removes it when the binary ends.
func Shared(t TB, name string, options func() Options) *Server {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if s := shared.servers[name]; s != nil {
		return s
	}
	var s *Server
	if dsn := os.Getenv("PGSIGNET_TEST_DSN"); dsn != "" {
		s = startExternal(t, dsn, options())
	} else {
		s = startOwn(t, options())
	}
	if shared.servers == nil {
		shared.servers = map[string]*Server{}
	}
	shared.servers[name] = s
	return s
}

// Main runs a binary's tests, then closes its shared servers: os.Exit(pgserver.Main(m)).
func Main(m interface{ Run() int }) int {
	code := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	var all error
	for _, s := range shared.servers {
		all = errors.Join(all, s.Close())
	}
	shared.servers = nil
	if all != nil && code == 0 {
		_, _ = os.Stderr.WriteString("pgserver: " + all.Error() + "\n")
		code = 1
	}
	return code
}
