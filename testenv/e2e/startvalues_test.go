package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// W51: what the start-up has set is what RESET and SET TO DEFAULT go back to, in both modes, however
// they are said; what the client sets itself stays.
func TestW51StartUpValuesAreTheDefaults(t *testing.T) {
	onEach(t, expectW51StartUpValuesAreTheDefaults)
}

func expectW51StartUpValuesAreTheDefaults(t *testing.T, w *World) {
	for _, mode := range []struct{ name, pool string }{{"session mode", "size = 4"}, {"transaction mode", transactions(2)}} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			b := w.Start(t, Options{Rules: people, Pool: mode.pool})
			for _, tt := range []struct{ sql, want string }{
				{"set work_mem = '7MB'; set timezone = 'UTC'; set lock_timeout = '2s'", "7MB UTC 2s"},
				{"set work_mem = '7MB'; reset all", "5MB Asia/Tokyo 3s"},
				{"set work_mem to default", "5MB Asia/Tokyo 3s"},
				{"set timezone TO DEFAULT", "5MB Asia/Tokyo 3s"},
				{"set timezone = 'UTC'|set timezone = default", "5MB Asia/Tokyo 3s"},
				{"set lock_timeout = '9s'|set work_mem = default", "5MB Asia/Tokyo 9s"},
				{"reset all; set lock_timeout = '9s'", "5MB Asia/Tokyo 9s"},
				{"reset lock_timeout; set work_mem = '8MB'", "8MB Asia/Tokyo 3s"},
				{"set lock_timeout = '9s'; set work_mem to default", "5MB Asia/Tokyo 9s"},
				{"discard all", "5MB Asia/Tokyo 3s"},
			} {
				c, err := b.TryConnect(w.Client("alice"), "alice", "orders", func(c *pgx.ConnConfig) {
					c.RuntimeParams["work_mem"], c.RuntimeParams["timezone"], c.RuntimeParams["lock_timeout"] = "5MB", "Asia/Tokyo", "3s"
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx := context.Background()
				for sql := range strings.SplitSeq(tt.sql, "|") {
					if _, err := c.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
						t.Fatalf("%s: %v", sql, err)
					}
				}
				got, err := c.PgConn().Exec(ctx, "select concat_ws(' ', current_setting('work_mem'), current_setting('timezone'), current_setting('lock_timeout'))").ReadAll()
				if err != nil {
					t.Fatal(err)
				}
				if string(got[0].Rows[0][0]) != tt.want {
					t.Errorf("%s: got %q, want %q", tt.sql, got[0].Rows, tt.want)
				}
				c.Close(ctx)
			}
		})
	}
}
