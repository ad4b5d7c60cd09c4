package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/broker/stamp"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

const identitySecret = "8d1f0c4be1a94f0ab70c52a1c6f2d0b38d1f0c4be1a94f0ab70c52a1c6f2d0b3"

// identityDatabase gives database orders the functions and the key, as the printed SQL does.
func identityDatabase(t *testing.T, w *World, config string) {
	t.Helper()
	sql, errs, status := w.run(t, "sql", "identity", "--config", config, "--database", "orders")
	if status != 0 {
		t.Fatalf("sql identity: %s", errs)
	}
	w.Exec(t, "orders", sql)
	w.Exec(t, "orders", sql) // again: nothing changes
}

// W92: labels and application_name, by mode, and what a client can do to them.
func TestW92Stamps(t *testing.T) {
	onEach(t, expectW92Stamps)
}

func expectW92Stamps(t *testing.T, w *World) {
	bothModes(t, func(t *testing.T, mode string) {
		for _, tt := range []struct {
			name, stamp string
			labels      bool
			app         bool
		}{
			{"default", "", mode == "session", false},
			{"none", "session { stamp = [] }", false, false},
			{"all", `session { stamp = ["session", "identity", "map", "application_name"] }`, true, true},
		} {
			b := w.Start(t, Options{Pool: "size = 1", Rules: ruled(mode, tt.stamp)})
			ctx := context.Background()
			long := strings.Repeat("a", 39) + "é and more"
			logins := 1
			var first *pgx.Conn
			if mode == "transaction" { // somebody else's stamps are on the only server
				first = b.Connect(t, w.Client("alice"), "alice", "orders")
				one[int](t, first, "select 1")
				logins++
			}
			c, err := b.TryConnect(w.Client("alice"), "alice", "orders", func(cfg *pgx.ConnConfig) { cfg.RuntimeParams["application_name"] = "api" })
			if err != nil {
				t.Fatal(err)
			}
			opens := b.Records("session.open", logins)
			sid := opens[len(opens)-1]["sid"].(string)
			hold := func(when, app string) {
				t.Helper()
				labels := one[string](t, c, "select concat_ws('|', current_setting('pgsignet.session', true), current_setting('pgsignet.identity', true), current_setting('pgsignet.map', true))")
				want := ""
				if tt.labels {
					want = sid + "|CN=alice|ruled"
				}
				if strings.Trim(labels, "|") != want {
					t.Errorf("%s %s: labels %q, want %q", tt.name, when, labels, want)
				}
				if tt.app {
					app += " #" + sid[len(sid)-12:]
				}
				if got := one[string](t, c, "show application_name"); got != app {
					t.Errorf("%s %s: the server sees application_name %q, want %q", tt.name, when, got, app)
				}
				if got := c.PgConn().ParameterStatus("application_name"); strings.Contains(got, "#") {
					t.Errorf("%s %s: W48: the client sees the stamp: %q", tt.name, when, got)
				}
			}
			hold("at login", "api")
			if got := c.PgConn().ParameterStatus("application_name"); got != "api" {
				t.Errorf("%s: the client believes its application_name to be %q", tt.name, got)
			}
			if first != nil {
				one[int](t, first, "select 1")
				hold("after another session", "api")
			}
			for _, sql := range []string{"discard all", "reset all"} {
				if _, err := c.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
					t.Fatal(err)
				}
				c.DeallocateAll(ctx)
				hold("after "+sql, "api")
			}
			if tt.app {
				if _, err := c.Exec(ctx, "set application_name = '"+long+"'"); err != nil {
					t.Fatal(err)
				}
				one[int](t, c, "select 1")
				got := one[string](t, c, "show application_name")
				if want := " #" + sid[len(sid)-12:]; !strings.HasSuffix(got, want) || len(got) > 63 || !strings.HasPrefix(got, strings.Repeat("a", 39)) {
					t.Errorf("a long application_name became %q", got)
				}
			}
			if tt.labels && mode == "session" { // labels are no proof: any client can overwrite them
				c.Exec(ctx, "set pgsignet.identity = 'CN=boss'")
				if got := one[string](t, c, "show pgsignet.identity"); got != "CN=boss" {
					t.Errorf("a label that was overwritten reads %q", got)
				}
			}
			c.Close(ctx)
		}
	})
}

// A124: what a client can do to its proof of identity, in both pool modes.
func TestA124IdentityTokens(t *testing.T) {
	w := Shared(t)
	bothModes(t, func(t *testing.T, mode string) {
		path := w.WriteConfig(t, Options{
			Pool: "size = 1\nlogin_check = \"1h\"", Database: `identity_key = "identity.key"`, Files: map[string]string{"identity.key": identitySecret + "\n"},
			Rules: ruled(mode, `session { stamp = ["token", "session", "identity", "map"] }`) + `
map "guests" {
  match { o = "Guests" }
  role      = "bob"
  databases = ["orders"]
  pool_mode = "` + mode + `"
  session { stamp = [] }
}`,
			Audit: `level = "full"`,
		})
		identityDatabase(t, w, path)
		b := w.StartConfig(t, path)
		ctx := context.Background()
		alice := b.Connect(t, w.Client("alice"), "alice", "orders")
		whoami := func(c *pgx.Conn) string {
			t.Helper()
			return one[string](t, c, "select coalesce(pgsignet.identity(), 'nobody')")
		}
		want := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s: identity() is %q, want %q", what, got, want)
			}
		}
		want("at login", whoami(alice), "CN=alice")
		token := one[string](t, alice, "show pgsignet.token")
		key, err := stamp.NewKey([]byte(identitySecret))
		if err != nil {
			t.Fatal(err)
		}
		pid := one[int](t, alice, "select pg_backend_pid()")
		forge := func(change func(*stamp.Claim)) string {
			claim := stamp.Claim{PID: uint32(pid), Expires: time.Now().Add(time.Hour), Role: "alice", Identity: "CN=alice"}
			change(&claim)
			return key.Token(claim)
		}
		other, _ := stamp.NewKey([]byte(strings.Repeat("another key ", 4)))
		for _, tt := range []struct{ name, token, want string }{
			{"its own again", token, "CN=alice"},
			{"made by the key", forge(func(*stamp.Claim) {}), "CN=alice"},
			{"another backend's", forge(func(c *stamp.Claim) { c.PID++ }), "nobody"},
			{"another role's", forge(func(c *stamp.Claim) { c.Role = "bob" }), "nobody"},
			{"expired", forge(func(c *stamp.Claim) { c.Expires = time.Now().Add(-time.Second) }), "nobody"},
			{"another key's", other.Token(stamp.Claim{PID: uint32(pid), Expires: time.Now().Add(time.Hour), Role: "alice", Identity: "CN=boss"}), "nobody"},
			{"another key's under this key's id", strings.Replace(other.Token(stamp.Claim{PID: uint32(pid), Expires: time.Now().Add(time.Hour), Role: "alice", Identity: "CN=boss"}), other.ID(), key.ID(), 1), "nobody"},
			{"edited identity", strings.Replace(token, hex.EncodeToString([]byte("CN=alice")), hex.EncodeToString([]byte("CN=boss")), 1), "nobody"},
			{"edited MAC", token[:len(token)-1] + string('0'+(token[len(token)-1]+1)%2), "nobody"},
			{"cut", token[:len(token)-2], "nobody"},
			{"longer", token + "00", "nobody"},
			{"without a MAC", token[:strings.LastIndexByte(token, '.')+1], "nobody"},
			{"upper case", strings.ToUpper(token), "nobody"},
			{"a number too large", strings.Replace(token, fmt.Sprintf(".%d.", pid), ".9999999999.", 1), "nobody"},
			{"empty", "", "nobody"},
			{"no token at all", "let me in", "nobody"},
		} {
			tx, err := alice.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if now := one[int](t, alice, "select pg_backend_pid()"); now != pid {
				t.Fatalf("the session moved from backend %d to %d", pid, now)
			}
			if _, err := tx.Exec(ctx, "set local pgsignet.token = '"+tt.token+"'"); err != nil {
				t.Fatal(err)
			}
			want(tt.name, whoami(alice), tt.want)
			tx.Rollback(ctx)
		}
		want("after ROLLBACK", whoami(alice), "CN=alice")
		// SET outside a block: never somebody else, and a RESET brings the proof back.
		for _, sql := range []string{"set pgsignet.token = 'x'", "set pgsignet.identity = 'CN=boss'; set pgsignet.session = 'x'; set pgsignet.map = 'x'"} {
			alice.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
			if got := whoami(alice); got != "CN=alice" && got != "nobody" {
				t.Errorf("after %q identity() is %q", sql, got)
			}
		}
		for _, sql := range []string{"discard all", "reset all", "reset pgsignet.token"} {
			if _, err := alice.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatal(err)
			}
			alice.DeallocateAll(ctx)
			want("after "+sql, whoami(alice), "CN=alice")
		}
		// Shadowing: neither search_path nor temporary objects reach into the function.
		alice.Exec(ctx, `create temp table identity_key (kid text, inner_key bytea, outer_key bytea)`)
		alice.Exec(ctx, `create function pg_temp.sha256(bytea) returns bytea language sql as 'select ''x''::bytea'`)
		alice.Exec(ctx, `create function pg_temp.pg_backend_pid() returns int language sql as 'select 1'`)
		alice.Exec(ctx, "set search_path = pg_temp, pgsignet, public")
		want("with search_path and temporary objects in the way", whoami(alice), "CN=alice")
		if _, err := alice.Exec(ctx, "select * from pgsignet.identity_key"); SQLState(err) != "42501" {
			t.Errorf("key table: %v, want SQLSTATE 42501", err)
		}
		if _, err := alice.Exec(ctx, "set role pgsignet_identity"); SQLState(err) != "42501" {
			t.Errorf("SET ROLE to the owner: %v, want SQLSTATE 42501", err)
		}
		// Another session of the same map never has alice's proof, nor has a map without tokens any.
		bob := b.Connect(t, w.Client("bob"), "bob", "orders")
		want("bob", whoami(bob), "CN=bob")
		if _, err := bob.Exec(ctx, "set pgsignet.token = '"+token+"'"); err != nil {
			t.Fatal(err)
		}
		if got := whoami(bob); got == "CN=alice" {
			t.Error("a token copied to another backend counts there")
		}
		guest := b.Connect(t, w.issue(t, w.Clients, pki.Shape{O: []string{"Guests"}, CN: "a guest"}), "bob", "orders")
		want("a map without token", whoami(guest), "nobody")
		for _, c := range []*pgx.Conn{alice, bob, guest} {
			c.Close(ctx)
		}
		notLeaked(t, b, token)
	})
}

// notLeaked fails when the token, or what it is recognised by, is in the log or the audit. The test
// itself has sent tokens as statements, which the audit must not repeat either.
func notLeaked(t *testing.T, b *Broker, token string) {
	t.Helper()
	b.Signal(15)
	b.Wait(StopLimit)
	mac := []byte(token[strings.LastIndexByte(token, '.')+1:])
	if bytes.Contains([]byte(b.Output()), mac) {
		t.Error("the log has the token")
	}
	names, _ := filepath.Glob(filepath.Join(b.Dir, "audit", "*"))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, mac) {
			t.Errorf("%s has the token", name)
		}
	}
}

// The cookbook of docs/configuration.md: rows belong to identities, whichever server connection serves
// them and whatever else the client tries.
func TestRowLevelSecurityOverIdentities(t *testing.T) {
	w := Shared(t)
	bothModes(t, func(t *testing.T, mode string) {
		path := w.WriteConfig(t, Options{
			Pool: "size = 2\nshare = \"role\"", Database: `identity_key = "identity.key"`, Files: map[string]string{"identity.key": identitySecret},
			Rules: `
map "shared" {
  match { cn = "/^[a-z]+$" }
  role      = "limited"
  assume    = true
  databases = ["orders"]
  pool_mode = "` + mode + `"
  session { stamp = ["token"] }
}`,
		})
		identityDatabase(t, w, path)
		w.Exec(t, "orders", `
			drop table if exists public.note;
			create table public.note (owner text not null default pgsignet.identity(), body text not null);
			alter table public.note enable row level security;
			grant select, insert, update, delete on public.note to limited;
			create policy own on public.note using (owner = (select pgsignet.identity())) with check (owner = (select pgsignet.identity()))`)
		b := w.StartConfig(t, path)
		ctx := context.Background()
		people := map[string]*pgx.Conn{}
		for _, cn := range []string{"alice", "bob", "carol"} {
			if mode == "session" && cn == "carol" {
				break // two servers
			}
			people[cn] = b.Connect(t, w.Client(cn), cn, "orders")
		}
		for round := range 5 {
			for cn, c := range people {
				if _, err := c.Exec(ctx, "insert into note (body) values ($1)", fmt.Sprintf("%s %d", cn, round)); err != nil {
					t.Fatalf("%s: %v", cn, err)
				}
			}
		}
		for cn, c := range people {
			if got := one[string](t, c, "select count(*) || ' ' || min(owner) || ' ' || max(owner) from note"); got != "5 CN="+cn+" CN="+cn {
				t.Errorf("%s sees %q", cn, got)
			}
			if tag, err := c.Exec(ctx, "update note set body = 'mine' where owner <> 'CN="+cn+"'"); err != nil || tag.RowsAffected() != 0 {
				t.Errorf("%s updated rows of others: %v %v", cn, tag, err)
			}
			if _, err := c.Exec(ctx, "insert into note (owner, body) values ('CN=boss', 'x')"); SQLState(err) != "42501" {
				t.Errorf("%s wrote a row for another: %v", cn, err)
			}
			c.Close(ctx)
		}
	})
}
