package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/broker/stamp"
)

// A124: whoever may create schemas must not be able to wait there for pgsignet.identity() with a
// function, a key table or a membership of his own.
func TestA124IdentityIsNotInstalledIntoOthersHands(t *testing.T) {
	w := Shared(t)
	ctx := context.Background()
	if err := w.PG.CreateDatabase(ctx, "squatted", "app"); err != nil {
		t.Fatal(err)
	}
	refused := func(why string) {
		t.Helper()
		if err := w.PG.ExecIn(ctx, "squatted", stamp.DDL()); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v, want an error with %q", err, why)
		}
		w.Exec(t, "squatted", "ROLLBACK")
	}
	w.Exec(t, "squatted", "CREATE SCHEMA pgsignet AUTHORIZATION app")
	refused("schema pgsignet belongs to app")
	w.Exec(t, "squatted", "DROP SCHEMA pgsignet")
	w.Exec(t, "squatted", stamp.DDL())
	w.Exec(t, "squatted", "GRANT pgsignet_identity TO app")
	refused("app is a member of pgsignet_identity")
	w.Exec(t, "squatted", "REVOKE pgsignet_identity FROM app; ALTER ROLE pgsignet_identity LOGIN")
	refused("role pgsignet_identity may log in")
	w.Exec(t, "squatted", "ALTER ROLE pgsignet_identity NOLOGIN")
	w.Exec(t, "squatted", stamp.DDL())
}
