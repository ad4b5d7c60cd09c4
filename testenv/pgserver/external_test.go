package pgserver_test

import (
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// skipped stands for a test that may be skipped.
type skipped struct {
	*testing.T
	why string
}

func (s *skipped) Skipf(format string, _ ...any) {
	s.why = format
	panic(s)
}

// skips reports why start made a test skip, "" when it did not.
func skips(t *testing.T, opts pgserver.Options) (why string) {
	t.Helper()
	s := &skipped{T: t}
	defer func() {
		if p := recover(); p != nil && p != any(s) {
			panic(p)
		}
		why = s.why
	}()
	pgserver.Start(s, opts)
	return ""
}

func TestServerOfTheDSN(t *testing.T) {
	own := ownServer(t, pgserver.Options{})
	t.Setenv("PGSIGNET_TEST_DSN", own.SuperuserDSN("postgres"))
	s := pgserver.Start(t, pgserver.Options{})
	if !s.IsExternal() || s.Major != own.Major || s.Port != own.Port {
		t.Errorf("got external %v, PostgreSQL %d, port %d, want that of the DSN", s.IsExternal(), s.Major, s.Port)
	}
	if err := s.CreateDatabase(t.Context(), "elsewhere", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.ExecIn(t.Context(), "elsewhere", "CREATE TABLE here (); SELECT 1"); err != nil {
		t.Error(err)
	}
	for name, opts := range map[string]pgserver.Options{
		"pg_hba.conf": {HBA: []string{"local all all trust"}}, "pg_ident.conf": {Ident: []string{"a b c"}},
		"settings": {Settings: map[string]string{"fsync": "on"}}, "TLS": {TLS: pgserver.TLS{Cert: "x"}}, "version": {Version: 99},
	} {
		if why := skips(t, opts); why == "" {
			t.Errorf("a test with its own %s runs against somebody else's server", name)
		}
	}
	for name, change := range map[string]func() error{
		"Stop": func() error { return s.Stop(t.Context(), pgserver.Fast) }, "SetHBA": func() error { return s.SetHBA(t.Context()) },
		"SetTLS": func() error { return s.SetTLS(t.Context(), pgserver.TLS{}) },
		"Standby": func() error {
			_, err := s.Standby(t.Context())
			return err
		},
	} {
		if err := change(); err == nil {
			t.Errorf("%s of somebody else's server did not fail", name)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := own.QueryString(t.Context(), "SELECT 1::text"); err != nil {
		t.Errorf("Close ended somebody else's server: %v", err)
	}
}
