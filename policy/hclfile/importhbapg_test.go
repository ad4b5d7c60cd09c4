package hclfile_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/race"
)

// hbaLine writes a random line of pg_hba.conf, one that PostgreSQL refuses now and then.
func hbaLine(pick func(...string) string) string {
	kind := pick("hostssl", "hostssl", "hostssl", "hostssl", "hostssl", "host", "hostnossl", "local")
	line := kind + " " + pick("all", "all", "all", "d1", "d1,d2", "sameuser", "d2,sameuser", `"all"`, "replication", "d3") + " " +
		pick("all", "all", "all", "alice", "bob,app", "carol", `"all"`) + " "
	if kind == "local" {
		return line + "reject"
	}
	line += pick("all", "127.0.0.1/32", "10.0.0.0/8", "127.0.0.0 255.0.0.0", "::/0") + " "
	if kind != "hostssl" {
		return line + pick("reject", "scram-sha-256", "reject", "scram-sha-256", "reject", "scram-sha-256", "reject", "scram-sha-256", "cert", "peer")
	}
	method := pick("cert map=m", "cert map=m", "cert map=m", "cert map=m", "cert map=n", "cert map=n", "cert map=n", "cert", "cert", "reject", "scram-sha-256", "cert map=none",
		"trust clientcert=verify-full", "cert map=m clientname=DN", "cert clientcert=verify-full", "cert map=m clientname=CN")
	if strings.HasPrefix(method, "trust") {
		return line + method
	}
	return line + method + pick("", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", " clientcert=verify-ca", " map")
}

// TestImportHBAAsPostgreSQL does so with random lines of pg_hba.conf. What PostgreSQL refuses as a
// file, import refuses.
func TestImportHBAAsPostgreSQL(t *testing.T) { eachVersion(t, compareHBA) }

func compareHBA(t *testing.T, version int) {
	r := rand.New(rand.NewPCG(seedFlag(), 3))
	ident := []string{`m /^(.*)@example\.com$ \1`, "m alice bob", "m bob app", "n alice alice", "n /^svc-([a-z]+)$ \\1", "n alice app"}
	l := newLogins(t, version, ident, []string{"hostssl all all all reject"})
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	logins, both, broken := 0, 0, 0
	for range race.Share(40) {
		var hba []string
		for range 2 + r.IntN(6) {
			hba = append(hba, hbaLine(pick))
		}
		if !l.setHBA(t, ident, hba) {
			broken++
			continue
		}
		p, _ := importPolicy(t, ident, hba)
		var all []candidate
		for range 25 {
			c := candidate{pick("alice", "bob", "carol@example.com", "alice@example.com", "svc-web", "carol"), pick("alice", "bob", "app", "carol", "web", "d3"), pick("d1", "d2", "d3", "alice", "carol")}
			if r.IntN(4) > 0 { // one of those that some map grants
				c.cn, c.user, _ = strings.Cut(pick("carol@example.com=carol", "alice@example.com=alice", "alice=bob", "bob=app", "svc-web=web", "alice=alice", "bob=bob", "carol=carol", "alice=app"), "=")
			}
			all = append(all, c)
		}
		for i, admitted := range l.tryAll(t, all) {
			g, err := l.ours(t, p, all[i])
			if (g != nil) != admitted {
				t.Errorf("%+v: PostgreSQL admits: %v, ours: %v %v\n%s", all[i], admitted, g, err, strings.Join(hba, "\n"))
			}
			logins++
			if admitted {
				both++
			}
		}
	}
	t.Logf("%d logins, %d admitted by both, %d files refused by both", logins, both, broken)
	if both < race.Share(20) || broken == 0 && !race.Enabled {
		t.Errorf("%d of %d logins were admitted, %d files refused", both, logins, broken)
	}
}

// setHBA gives PostgreSQL new lines. It reports false when PostgreSQL refuses them, and checks that
// import does too.
func (l *pgLogins) setHBA(t *testing.T, ident, hba []string) bool {
	if err := l.s.SetHBA(t.Context(), hba...); err != nil {
		t.Fatal(err)
	}
	refused, err := l.s.QueryString(t.Context(), "SELECT coalesce(string_agg(error, '; '), '') FROM pg_hba_file_rules WHERE error IS NOT NULL")
	if err != nil {
		t.Fatal(err)
	}
	f := files{"etc/pg_ident.conf": strings.Join(ident, "\n"), "etc/pg_hba.conf": strings.Join(hba, "\n")}
	_, err = f.imported("etc/pg_hba.conf")
	if (err != nil) != (refused != "") {
		t.Errorf("PostgreSQL says %q, import %v\n%s", refused, err, strings.Join(hba, "\n"))
		return false
	}
	return err == nil
}

// TestImportRefusesAsPostgreSQL compares which lines of pg_ident.conf make PostgreSQL refuse the file.
func TestImportRefusesAsPostgreSQL(t *testing.T) { eachVersion(t, compareRefusals) }

func compareRefusals(t *testing.T, version int) {
	lines := []string{"m a b", "m a", "m", "m a b c d", "m a,b c", "m, a b", `m "a,b" c`, `m "a b" c`, `m a "b`, "m a b # c", "m a #b c", "m /a( b", "m /a b", "m /( all",
		"m /a{1,2}{3} b", "m /[z-a] b", "m /[[:nope:]] b", `m /a\` + " b", `m /\q b`, `m "/a b" c`, `m a"b"c d`, `m ""a"" b`, "m /*a b", "m /a** b", "m\ta\tb", `m a \` + "\n b", `m a \`, "m /^(.*)$ x y",
		"m /(?i)a b", "m /(?z)a b", "m /a(?i)b c", "m /*** b", "m @nofile b", `m "@x" b`, `m @ b`, "m a b,", "m a ,b"}
	l := newLogins(t, version, []string{"m a b"}, []string{"hostssl all all all reject"})
	for _, line := range lines {
		if err := l.s.SetIdent(t.Context(), strings.Split(line, "\n")...); err != nil {
			t.Fatal(err)
		}
		refused, err := l.s.QueryString(t.Context(), "SELECT coalesce(string_agg(error, '; '), '') FROM pg_ident_file_mappings WHERE error IS NOT NULL")
		if err != nil {
			t.Fatal(err)
		}
		_, err = files{"etc/pg_ident.conf": line}.imported("")
		if (err != nil) != (refused != "") {
			t.Errorf("%q: PostgreSQL says %q, import %v", line, refused, err)
		}
	}
}
