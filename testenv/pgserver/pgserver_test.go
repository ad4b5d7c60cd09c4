package pgserver_test

import (
	"context"
	"os"
	"regexp"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }

// plain is the server the tests share that do not change it.
func plain(t *testing.T) *pgserver.Server {
	return pgserver.Shared(t, "plain", func() pgserver.Options { return pgserver.Options{} })
}

func ownServer(t *testing.T, opts pgserver.Options) *pgserver.Server {
	t.Helper()
	return pgserver.Start(t, opts)
}

func TestServerAnswersItsSuperuser(t *testing.T) {
	s := plain(t)
	got, err := s.QueryString(t.Context(), "SELECT current_user || current_setting('port')")
	if err != nil {
		t.Fatal(err)
	}
	if s.IsExternal() {
		return
	}
	if want := pgserver.Superuser + regexp.MustCompile(`\d+$`).FindString(s.Addr()); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRestartKeepsThePortAndTheData(t *testing.T) {
	s := ownServer(t, pgserver.Options{Settings: map[string]string{"fsync": "on"}})
	s.MustExec(t, "CREATE TABLE kept (i int); INSERT INTO kept VALUES (1); CHECKPOINT")
	port := s.Port
	for _, mode := range []pgserver.Mode{pgserver.Fast, pgserver.Immediate, pgserver.Kill} {
		if err := s.Restart(t.Context(), mode); err != nil {
			t.Fatalf("mode %v: %v", mode, err)
		}
		if got, err := s.QueryString(t.Context(), "SELECT count(*)::text FROM kept"); err != nil || got != "1" {
			t.Errorf("mode %v: got %q, %v, want 1", mode, got, err)
		}
	}
	if s.Port != port {
		t.Errorf("port changed from %d to %d", port, s.Port)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	for name, mode := range map[string]pgserver.Mode{"running": -1, "stopped": pgserver.Fast, "killed": pgserver.Kill} {
		t.Run(name, func(t *testing.T) {
			s, err := pgserver.New(t.Context(), pgserver.Options{CacheTemplate: true})
			if err != nil {
				t.Fatal(err)
			}
			dir := s.Dir()
			if mode >= 0 {
				if err := s.Stop(context.Background(), mode); err != nil {
					t.Error(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", dir, err)
			}
		})
	}
}
