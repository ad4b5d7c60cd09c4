package hclfile_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/hclfile"
	"github.com/pgsignet/pgsignet/policy/identity"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden decides the logins of ../testdata/*.eval by the rules beside them, in the manner of
// PgBouncer's hba_test.rules and .eval. See testdata/README.md for the form.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("../testdata/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	decisions := 0
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".hcl"), func(t *testing.T) {
			decisions += golden(t, f, strings.TrimSuffix(f, ".hcl")+".eval")
		})
	}
	if decisions < 60 {
		t.Errorf("%d golden decisions, want at least 60", decisions)
	}
}

// golden runs one pair and returns how many logins it decided.
func golden(t *testing.T, rules, evals string) int {
	got, count := "", 0
	want, err := os.ReadFile(evals)
	if err != nil {
		t.Fatal(err)
	}
	var p *policy.Policy
	config := policy.Config{AdminDatabases: []string{"pgsignet", "pgbouncer"}}
	lines := bufio.NewScanner(strings.NewReader(string(want)))
	for lines.Scan() {
		line := lines.Text()
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "@"):
			directive(t, &config, line)
		default:
			if p == nil {
				p = load(t, rules, config)
			}
			input, _, _ := strings.Cut(line, " => ")
			line = strings.TrimSpace(input) + " => " + decideLine(t, p, strings.TrimSpace(input))
			count++
		}
		got += line + "\n"
	}
	switch {
	case *update:
		if err := os.WriteFile(evals, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	case got != string(want):
		diffLines(t, string(want), got)
	}
	return count
}

func diffLines(t *testing.T, want, got string) {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range w {
		if i < len(g) && w[i] != g[i] {
			t.Errorf("line %d\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
}

// directive reads `@database NAME UPSTREAM [DBNAME]` and `@listener NAME [admin]`.
func directive(t *testing.T, c *policy.Config, line string) {
	f := append(strings.Fields(line), "", "")
	switch f[0] {
	case "@database":
		c.Databases = append(c.Databases, policy.Database{Name: f[1], Upstream: f[2], DBName: f[3]})
	case "@listener":
		c.Listeners = append(c.Listeners, policy.Listener{Name: f[1], Admin: f[2] == "admin"})
	default:
		t.Fatalf("what is %q?", line)
	}
}

func load(t *testing.T, file string, c policy.Config) *policy.Policy {
	parser := hclparse.NewParser()
	f, diags := parser.ParseHCLFile(file)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	set, diags := hclfile.Decode(f.Body, parser.Files())
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	c.Rules = set.Rules
	p, err := policy.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// decideLine decides one login, and checks that Explain does the same.
func decideLine(t *testing.T, p *policy.Policy, input string) string {
	r := parseLogin(t, input)
	g, err := p.Decide(r)
	x := p.Explain(r)
	var denied *policy.Denied
	if errors.As(err, &denied) != (g == nil) || !reflect.DeepEqual(x.Grant, g) || !reflect.DeepEqual(x.Denied, denied) {
		t.Errorf("%s\nDecide %v, %v\nExplain %v, %v", input, g, err, x.Grant, x.Denied)
	}
	if g == nil {
		return refusedText(denied)
	}
	return grantText(g)
}

func refusedText(d *policy.Denied) string {
	out := "refused " + d.Reason()
	if d.Rule != nil {
		out += fmt.Sprintf(" %s:%d %s", d.Rule.Kind, d.Rule.Line, quoteWord(d.Rule.Name))
	}
	if d.Cause != "" {
		out += " (" + d.Cause + ")"
	}
	return out
}

// grantText shows a grant, without what has its default.
func grantText(g *policy.Grant) string {
	out := fmt.Sprintf("granted %s:%d %s role=%s", g.Rule.Kind, g.Rule.Line, quoteWord(g.Rule.Name), quoteWord(g.Role))
	add := func(name, value string) {
		if value != "" && value != "false" && value != "0" && value != "0s" {
			out += " " + name + "=" + quoteWord(value)
		}
	}
	if g.Admin == "" {
		add("to", g.Upstream+"/"+g.DBName)
	}
	add("admin", g.Admin)
	add("matched", strings.Join(g.Matched, ","))
	add("captures", strings.Join(g.Captures, ","))
	add("pool_mode", g.PoolMode)
	add("audit", g.Audit)
	add("replication", strconv.FormatBool(g.Replication))
	add("fingerprint_only", strconv.FormatBool(g.FingerprintOnly))
	add("sessions", strconv.Itoa(g.Limits.Sessions))
	add("map_sessions", strconv.Itoa(g.Limits.MapSessions))
	add("pool", strconv.Itoa(g.Limits.Pool))
	add("read_only", strconv.FormatBool(g.Session.ReadOnly))
	add("statement_timeout", g.Session.StatementTimeout.String())
	add("idle_timeout", g.Session.IdleTimeout.String())
	add("max_duration", g.Session.MaxDuration.String())
	for _, s := range g.Session.Settings {
		add("set:"+s.Name, s.Value)
	}
	if g.Session.StampSet {
		out += " stamp=" + strings.Join(g.Session.Stamp, ",")
	}
	add("key", g.IdentityKey)
	return out
}

func quoteWord(s string) string {
	if q := strconv.QuoteToASCII(s); s == "" || strings.ContainsAny(s, ` "=`) || q != `"`+s+`"` {
		return q
	}
	return s
}

// parseLogin reads words such as `cn=alice user=alice db=orders`.
func parseLogin(t *testing.T, line string) policy.Request {
	r := policy.Request{
		Identity: &identity.Identity{}, Listener: "main", Addr: netip.MustParseAddr("10.0.0.1"), Database: "orders",
		Now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
	}
	for line != "" {
		var key, value string
		key, line, _ = strings.Cut(strings.TrimLeft(line, " "), "=")
		if q, err := strconv.QuotedPrefix(line); err == nil {
			value, _ = strconv.Unquote(q)
			line = line[len(q):]
		} else {
			value, line, _ = strings.Cut(line, " ")
		}
		loginWord(t, &r, key, value)
	}
	id := r.Identity
	if len(id.CNs) == 1 {
		id.CN = id.CNs[0]
	}
	id.Ambiguous = id.Ambiguous || len(id.CNs) > 1
	return r
}

func loginWord(t *testing.T, r *policy.Request, key, value string) {
	id := r.Identity
	if list := map[string]*[]string{"cn": &id.CNs, "o": &id.O, "ou": &id.OU, "email": &id.Email, "dns": &id.DNS, "uri": &id.URI,
		"anchor": &id.Anchors}[key]; list != nil {
		*list = append(*list, value)
		return
	}
	if one := map[string]*string{"dn": &id.DN, "issuer": &id.Issuer, "spiffe": &id.SPIFFE, "serial": &id.Serial, "sha256": &id.SHA256,
		"spki_sha256": &id.SPKISHA256, "user": &r.User, "db": &r.Database, "listener": &r.Listener, "app": &r.ApplicationName}[key]; one != nil {
		*one = value
		return
	}
	var err error
	oid, isExtension := strings.CutPrefix(key, "ext:")
	switch {
	case isExtension:
		id.Extension = map[string]string{oid: value}
	case key == "ip":
		id.IP = append(id.IP, netip.MustParseAddr(value))
	case key == "ambiguous":
		id.Ambiguous = value == "true"
	case key == "from":
		r.Addr, err = netip.ParseAddr(value)
	case key == "at":
		r.Now, err = time.Parse(time.RFC3339, value)
	case key == "replication":
		r.Replication = value == "true"
	default:
		t.Fatalf("what is %s=%q?", key, value)
	}
	if err != nil {
		t.Fatal(err)
	}
}
