package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestA20HostileChains: nets of intermediates of one name that sign each other, as many as may be
// presented, and more: refused without the work that they invite.
func TestA20HostileChains(t *testing.T) {
	w := Shared(t)
	name := pki.Name{pki.CN("Net")}
	net := func(size int, kind pki.KeyKind) *pki.Leaf {
		var all []*pki.CA
		for range size {
			all = append(all, w.Root(pki.Shape{Subject: name, Kind: kind}))
		}
		leaf := w.Issue(all[0], pki.Shape{CN: "alice"})
		leaf.Chain = nil
		for i, ca := range all {
			leaf.Chain = append(leaf.Chain, w.Issue(all[(i+1)%size], pki.Shape{Subject: name, IsCA: true, Key: ca.Key}).DER)
		}
		return leaf
	}
	bomb := func() *pki.Leaf {
		var bases, names []pki.GeneralName
		for i := range 1000 {
			bases = append(bases, pki.DirectoryName(pki.Name{pki.O(fmt.Sprint(i))}))
		}
		for i := range 60 {
			names = append(names, pki.DirectoryName(pki.Name{pki.O(fmt.Sprint("x", i))}))
		}
		sub := w.Intermediate(w.Root(pki.Shape{CN: "Stranger"}), pki.Shape{CN: "Sub", Ext: []pki.Extension{pki.NameConstraints(nil, bases)}})
		return w.Issue(sub, pki.Shape{CN: "alice", SAN: names})
	}()
	crowd := net(9, pki.P256)
	for range 11 {
		crowd.Chain = append(crowd.Chain, crowd.Chain[:9]...)
	}
	b := underWatch(t, Options{})
	began := b.cpu(t)
	logins := 0
	for _, tt := range []struct {
		name, want string
		leaf       *pki.Leaf
	}{
		{"A20 a net of nine", "cert_limits", net(9, pki.P521)},
		{"A20 a hundred and eight", "cert_limits", crowd},
		{"A20 a bomb of constraints", "cert_limits|unknown_ca", bomb},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 5 {
				c := b.DialTLS(t, tt.leaf)
				c.Send(Startup(3<<16, "user", "alice", "database", "orders"))
				m := c.ReadError()
				logins++
				if Field(m, 'C') != "28000" {
					t.Errorf("the client reads %s", ErrorText(m))
				}
			}
			Poll(t, "the audit to tell", func() bool {
				n := 0
				for _, reason := range strings.Split(tt.want, "|") {
					n += b.denials(reason)
				}
				return n >= 5
			})
		})
	}
	// 50 ms of verification (T47), tenfold, and the rest of a login.
	if used := b.cpu(t) - began; used.Milliseconds() > int64(logins)*(500+100) {
		t.Errorf("%d logins cost %v of CPU", logins, used)
	}
	b.undisturbed(t)
}

// TestA108SearchPath: a client's search_path leads none of the broker's own statements to functions
// of the client's.
func TestA108SearchPath(t *testing.T) {
	w := Shared(t)
	w.Exec(t, "orders", `
		drop schema if exists evil cascade; create schema evil; grant usage on schema evil to public;
		create table evil.calls (what text); grant all on evil.calls to public;
		create function evil.called(what text) returns text language plpgsql security definer as $$ begin insert into evil.calls values (what); return what; end $$;
		create function evil.set_config(text, text, boolean) returns text language sql as $$ select evil.called('set_config') $$;
		create function evil.current_setting(text) returns text language sql as $$ select evil.called('current_setting') $$;
		create function evil.current_setting(text, boolean) returns text language sql as $$ select evil.called('current_setting') $$;
		create function evil.pg_advisory_unlock_all() returns void language sql as $$ select evil.called('unlock') $$;
		create function evil.has_database_privilege(text, text) returns boolean language sql as $$ select evil.called('privilege') is null $$;
		create function evil.pg_is_in_recovery() returns boolean language sql as $$ select evil.called('recovery') is null $$;
		create function evil.textne(text, text) returns boolean language sql as $$ select evil.called('textne') is null $$;
		create operator evil.= (leftarg = text, rightarg = text, function = evil.textne);
		create view evil.pg_settings as select evil.called('pg_settings') as name, 'x' as setting;
		create view evil.pg_roles as select evil.called('pg_roles') as rolname, true as rolcanlogin;
		create view evil.pg_database as select evil.called('pg_database') as datname`)
	ctx := context.Background()
	for _, mode := range []string{"session", "transaction"} {
		for _, reset := range []string{"smart", "always"} {
			t.Run(mode+"/"+reset, func(t *testing.T) {
				b := underWatch(t, Options{
					Rules: fmt.Sprintf(`
						map "watch" {
							match { cn = "boss" }
							roles     = ["boss"]
							databases = ["orders"]
						}
						map "alice" {
							match { cn = "alice" }
							roles     = ["alice"]
							databases = ["orders"]
							pool_mode = %q
							session { settings = { "work_mem" = "7MB", "app.caller" = cert.cn } }
						}`, mode),
					Pool: fmt.Sprintf("size = 1\n reset = %q\n login_check = \"0s\"", reset),
				})
				for _, how := range []func(*pgx.ConnConfig){
					func(c *pgx.ConnConfig) { c.RuntimeParams["search_path"] = "evil, pg_catalog" },
					func(c *pgx.ConnConfig) { c.RuntimeParams["options"] = `-c search_path=evil,\ pg_catalog` },
				} {
					for range 2 { // the second is given what the first has left
						c, err := b.TryConnect(w.Client("alice"), "alice", "orders", how)
						if err != nil {
							t.Fatal(err)
						}
						if got := one[string](t, c, "show search_path"); got != "evil, pg_catalog" {
							t.Errorf("the client's search_path is %q", got)
						}
						for _, sql := range []string{"set lock_timeout = 17", "select pg_catalog.pg_advisory_lock(108)", "reset all", "discard all"} {
							if _, err := c.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
								t.Errorf("%s: %v", sql, err)
							}
						}
						c.Close(ctx)
					}
				}
				b.undisturbed(t)
			})
		}
	}
	c, err := w.PG.Connect(ctx, "orders")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if calls := one[string](t, c, "select coalesce(string_agg(distinct what, ' '), '') from evil.calls"); calls != "" {
		t.Errorf("the broker's own statements called the client's %s", calls)
	}
}

// TestA110VersionsToCome: a protocol option or a minor version that we do not know is negotiated
// down; another major version is refused.
func TestA110VersionsToCome(t *testing.T) {
	b := underWatch(t, Options{})
	alice := b.World.Client("alice")
	for _, tt := range []struct {
		name    string
		version uint32
		params  []string
		answer  string // body of NegotiateProtocolVersion; "": none is sent
	}{
		{"3.0", 3 << 16, nil, ""},
		{"3.2", 3<<16 | 2, nil, ""},
		{"3.9", 3<<16 | 9, nil, "\x00\x03\x00\x02\x00\x00\x00\x00"},
		{"an option", 3 << 16, []string{"_pq_.x", "1"}, "\x00\x03\x00\x00\x00\x00\x00\x01_pq_.x\x00"},
		{"both", 3<<16 | 9, []string{"_pq_.x", "1", "_pq_.role", "boss"}, "\x00\x03\x00\x02\x00\x00\x00\x02_pq_.x\x00_pq_.role\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := len(b.readRecords("session.open"))
			c := b.open(t, alice, "alice", "orders", "application_name", tt.name)
			c.Send(Msg('X', ""))
			c = b.DialTLS(t, alice)
			c.Send(Startup(tt.version, append([]string{"user", "alice", "database", "orders"}, tt.params...)...))
			var answer string
			for i, m := range c.ReadUntil('Z') {
				if m.Type == 'v' {
					answer = string(m.Body)
					if i != 0 {
						t.Error("the version is negotiated after other messages")
					}
				}
			}
			if answer != tt.answer {
				t.Errorf("negotiates %q, want %q", answer, tt.answer)
			}
			c.Send(Query("select 1"))
			c.ReadUntil('Z')
			c.Send(Msg('X', ""))
			if opened := b.Records("session.open", n+2)[n+1]; dig(opened, "granted.role") != "alice" {
				t.Errorf("audit: %v", opened)
			}
		})
	}
	for name, version := range map[string]uint32{"2.0": 2 << 16, "1.0": 1 << 16, "4.0": 4 << 16, "0.0": 0} {
		t.Run(name, func(t *testing.T) {
			denied := b.denials("protocol")
			c := b.DialTLS(t, alice)
			c.Send(Startup(version, "user", "alice"))
			if m := c.ReadError(); Field(m, 'C') != "0A000" || Field(m, 'S') != "FATAL" {
				t.Errorf("the client reads %s", ErrorText(m))
			}
			Poll(t, "an audit event", func() bool { return b.denials("protocol") == denied+1 })
		})
	}
	b.undisturbed(t)
}

// TestA111CancelRequests: no key but the session's own has an effect, whatever part of it is known;
// the requester is told nothing, and the tries of an address are limited.
func TestA111CancelRequests(t *testing.T) {
	b := underWatch(t, Options{})
	alice := b.World.Client("alice")
	sent := 0
	cancel := func(over string, key []byte) {
		t.Helper()
		sent++
		c := b.Dial(t)
		if over == "TLS" {
			c = c.answered(sslRequest, 'S').encrypted(b.TLSConfig(b.World.Client("bob")))
		}
		packet := binary.BigEndian.AppendUint32(nil, uint32(8+len(key)))
		c.Send(append(append(packet, 4, 210, 22, 46), key...))
		if rest, _ := io.ReadAll(c); len(rest) != 0 {
			t.Errorf("a cancel request over %s is told %q", over, rest)
		}
		c.Close()
	}
	for _, version := range []uint32{3 << 16, 3<<16 | 2} {
		t.Run(fmt.Sprintf("3.%d", version&0xffff), func(t *testing.T) {
			login := func() (*Wire, []byte) {
				c := b.DialTLS(t, alice)
				c.Send(Startup(version, "user", "alice", "database", "orders"))
				for _, m := range c.ReadUntil('Z') {
					if m.Type == 'K' {
						return c, m.Body
					}
				}
				t.Fatal("no cancel key")
				return nil, nil
			}
			gone, old := login()
			gone.Send(Msg('X', ""))
			if rest, _ := io.ReadAll(gone); len(rest) != 0 {
				t.Errorf("a farewell is answered with %q", rest)
			}
			Poll(t, "the first session to be gone", func() bool { return b.footprint(t).open == 1 })
			victim, key := login()
			before := len(b.readRecords("cancel"))
			victim.Send(Query("select pg_sleep(600)"))
			Poll(t, "the statement to run", func() bool { return b.World.running(t, "select pg_sleep(600)") == 1 })
			random := rand.NewChaCha8([32]byte{1, 11})
			guesses := [][]byte{old}
			for i := 4; i < len(key); i++ { // the session's number is known, and all of the secret but a byte
				guess := append([]byte{}, key...)
				guess[i] ^= 1
				guesses = append(guesses, guess)
			}
			for _, n := range []int{8, 12, 16, 36, 100, 260} {
				guess := make([]byte, n)
				random.Read(guess)
				guesses = append(guesses, guess, append(append([]byte{}, key[:4]...), guess[4:]...))
			}
			if len(key) > 8 {
				guesses = append(guesses, key[:8], key[:35], append(append([]byte{}, key...), 0))
			}
			for i, guess := range guesses {
				cancel([]string{"plaintext", "TLS"}[i%2], guess)
			}
			for range 200 {
				guess := append([]byte{}, key...)
				random.Read(guess[4:])
				cancel("plaintext", guess)
			}
			Poll(t, "each guess to be counted", func() bool { total, _ := b.cancelsCounted(t); return total == sent })
			if n := b.World.running(t, "select pg_sleep(600)"); n != 1 {
				t.Fatal("a guess has cancelled the statement")
			}
			if r := b.readRecords("cancel"); len(r) != before {
				t.Errorf("audit: %v", r)
			}
			// The victim's own request is heard again in a later second.
			Poll(t, "its own key to cancel it", func() bool {
				cancel("TLS", key)
				return b.World.running(t, "select pg_sleep(600)") == 0
			})
			victim.ReadUntil('Z')
			victim.Send(Msg('X', ""))
			matched := 0
			Poll(t, "each request to be counted", func() (all bool) { total, m := b.cancelsCounted(t); matched = m; return total == sent })
			for _, r := range b.Records("cancel", matched)[before:] {
				if dig(r, "cancel.addr") == nil || dig(r, "cancel.cert_sha256") == nil {
					t.Errorf("audit: %v", r)
				}
			}
		})
	}
	b.undisturbed(t)
}

// cancelsCounted is how many cancel requests the broker has dealt with, and how many of them had a session's key,
// each of which is recorded.
func (b *Broker) cancelsCounted(t *testing.T) (total, matched int) {
	t.Helper()
	for series, value := range b.metrics(t) {
		if result, ok := strings.CutPrefix(series, "pgsignet_cancel_requests_total{result="); ok {
			n, _ := strconv.Atoi(value)
			if total += n; !strings.HasPrefix(result, `"un`) { // unread, unmatched
				matched += n
			}
		}
	}
	return total, matched
}

// TestA113LeftBehind: what one client makes of its session is not there for the next on the same
// server connection; pools of another share never meet.
func TestA113LeftBehind(t *testing.T) {
	w := Shared(t)
	ctx := context.Background()
	rules := func(mode string) string {
		var b strings.Builder
		for _, team := range []string{"red", "blue"} {
			fmt.Fprintf(&b, "map %q {\n match { ou = %q }\n roles = [\"app\"]\n databases = [\"orders\"]\n pool_mode = %q\n}\n", team, team, mode)
		}
		return b.String() + "map \"watch\" {\n match { cn = \"boss\" }\n roles = [\"boss\"]\n databases = [\"orders\"]\n}\n"
	}
	member := func(team, cn string) *pki.Leaf { return w.Issue(w.Clients, pki.Shape{OU: []string{team}, CN: cn}) }
	const left = `select concat_ws(' ',
		(select 'temp' from pg_class where relname = 'secret' and relpersistence = 't'),
		(select 'listen' from pg_listening_channels()),
		(select 'prepared' from pg_prepared_statements where name in ('leak', 'leak2')),
		(select 'cursor' from pg_cursors where name in ('c', 'd')),
		(select 'lock' from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
		(select 'setting' where current_setting('app.secret', true) <> '' or current_setting('timezone') = 'Asia/Tokyo' or current_setting('work_mem') = '77MB'))`
	for _, mode := range []string{"session", "transaction"} {
		for _, reset := range []string{"smart", "always"} {
			t.Run(mode+"/"+reset, func(t *testing.T) {
				b := underWatch(t, Options{Rules: rules(mode), Pool: fmt.Sprintf("size = 1\n reset = %q", reset)})
				a := b.Connect(t, member("red", "a"), "app", "orders")
				pid := one[int](t, a, "select pg_backend_pid()")
				for _, sql := range []string{
					"create temp table secret (x int)", "listen gossip", "select pg_advisory_lock(113)", "prepare leak as select 1",
					"set timezone = 'Asia/Tokyo'", "select set_config('work_mem', '77MB', false)", "set app.secret = 'x'",
					"declare c cursor with hold for select 1", "do $$ begin perform set_config('app.secret', 'y', false); end $$",
				} {
					if _, err := a.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
						t.Fatalf("%s: %v", sql, err)
					}
				}
				if _, err := a.Prepare(ctx, "leak2", "select 2"); err != nil {
					t.Fatal(err)
				}
				tx, err := a.Begin(ctx)
				if err != nil {
					t.Fatal(err)
				}
				tx.Exec(ctx, "declare d cursor for select 1")
				a.Close(ctx) // in the block
				Poll(t, "another client of the pool to get the server connection", func() bool {
					c := b.Connect(t, member("red", "b"), "app", "orders")
					defer c.Close(ctx)
					var found string
					if err := c.QueryRow(ctx, left, pgx.QueryExecModeSimpleProtocol).Scan(&found); err != nil || found != "" {
						t.Errorf("the next client finds %q, %v", found, err)
					}
					return one[int](t, c, "select pg_backend_pid()") == pid || one[int](t, c, fmt.Sprintf("select count(*) from pg_stat_activity where pid = %d", pid)) == 0
				})
				c := b.Connect(t, member("blue", "c"), "app", "orders")
				for range 5 {
					if one[int](t, c, "select pg_backend_pid()") == pid {
						t.Error("another map's client got the server connection")
					}
				}
				c.Close(ctx)
				b.undisturbed(t)
			})
		}
	}
}
