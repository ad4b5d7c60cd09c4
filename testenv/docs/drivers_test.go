package docs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/e2e"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

const aliceMap = `
map "alice" {
  match { cn = "alice" }
  role      = "alice"
  databases = ["orders"]
}
`

// client is a folder with the files that docs/drivers.md names, beside a broker.
type client struct {
	dir    string
	broker *e2e.Broker
}

func newClient(t *testing.T) *client {
	t.Helper()
	w := e2e.Shared(t)
	c := &client{dir: t.TempDir(), broker: w.Start(t, e2e.Options{Rules: aliceMap})}
	if _, err := w.Servers.WriteCA(c.dir, "ca"); err != nil {
		t.Fatal(err)
	}
	leaf := w.Issue(w.Clients, pki.Shape{CN: "alice", Lifetime: 60 * 24 * time.Hour}) // beyond the expiry notice
	if _, _, err := leaf.Write(c.dir, "alice"); err != nil {
		t.Fatal(err)
	}
	return c
}

// adapt puts this broker's place into an example.
func (c *client) adapt(text string) string {
	return strings.NewReplacer("gw.example.com", "localhost", "6432", c.broker.Port()).Replace(text)
}

// run runs a command in the client's folder; env is added to the environment.
func (c *client) run(env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = c.dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PG") }),
		append([]string{"LC_ALL=C", "PGCONNECT_TIMEOUT=10", "HOME=" + c.dir}, env...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return strings.TrimSpace(out.String()), err
}

func (c *client) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// runExample runs a block by its language. missing says which driver is absent.
func (c *client) runExample(t *testing.T, b Block) (out, missing string, err error) {
	t.Helper()
	text := c.adapt(b.Text)
	switch b.Lang {
	case "sh":
		out, err = c.run(nil, "sh", "-e", "-c", text)
	case "go":
		path := c.write(t, "main.go", text)
		build := exec.Command("go", "build", "-o", filepath.Join(c.dir, "example"), path)
		build.Dir = Root
		if out, err := build.CombinedOutput(); err != nil {
			return string(out), "", err
		}
		out, err = c.run(nil, filepath.Join(c.dir, "example"))
	case "python":
		return c.runPython(t, text)
	case "js":
		path := c.write(t, "example.js", text)
		if _, err := c.run(nil, "node", "-e", "require('pg')"); err != nil {
			return "", "npm's pg (NODE_PATH may name its folder)", nil
		}
		out, err = c.run(nil, "node", path)
	case "java":
		return c.runJava(t, text)
	default:
		t.Fatalf("no way to run %s", b.Lang)
	}
	return out, "", err
}

// runPython uses Debian's python3, which has Debian's drivers, whatever else is on the path.
func (c *client) runPython(t *testing.T, text string) (out, missing string, err error) {
	t.Helper()
	const python = "/usr/bin/python3"
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "import "); ok {
			if _, err := c.run(nil, python, "-c", "import "+name); err != nil {
				return "", "Debian's python3-" + name, nil
			}
		}
	}
	out, err = c.run(nil, python, c.write(t, "example.py", text))
	return out, "", err
}

func (c *client) runJava(t *testing.T, text string) (out, missing string, err error) {
	t.Helper()
	const jar = "/usr/share/java/postgresql.jar"
	if _, err := os.Stat(jar); err != nil {
		return "", "Debian's libpostgresql-jdbc-java", nil
	}
	if _, err := exec.LookPath("javac"); err != nil {
		return "", "a JDK", nil
	}
	for _, b := range document(t, "docs/drivers.md").Blocks {
		if b.Is("sh", "convert") {
			if out, err := c.run(nil, "sh", "-e", "-c", b.Text); err != nil {
				return out, "", err
			}
		}
	}
	out, err = c.run(nil, "java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", jar, c.write(t, "Orders.java", text))
	return out, "", err
}

func TestDriverExamplesLogIn(t *testing.T) {
	c := newClient(t)
	n := 0
	for _, b := range document(t, "docs/drivers.md").Blocks {
		if len(b.Args) == 0 || b.Args[0] != "run" {
			continue
		}
		n++
		t.Run(fmt.Sprintf("line %d %s", b.Line, b.Lang), func(t *testing.T) {
			out, missing, err := c.runExample(t, b)
			switch {
			case missing != "":
				t.Skipf("DID NOT RUN: %s is not installed", missing)
			case err != nil || out != "alice":
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	if n < 8 {
		t.Errorf("%d examples, too few to be true", n)
	}
}

// What docs/drivers.md says of pgx's settings.
func TestPgxSettings(t *testing.T) {
	c := newClient(t)
	base := "host=localhost port=" + c.broker.Port() + " dbname=orders user=alice sslmode=verify-full"
	for _, name := range []string{"sslrootcert=ca.crt", "sslcert=alice.crt", "sslkey=alice.key"} {
		key, file, _ := strings.Cut(name, "=")
		base += " " + key + "=" + filepath.Join(c.dir, file)
	}
	for _, tt := range []struct {
		setting string
		works   bool
	}{
		{"sslcertmode=require", true}, {"require_auth=none", true}, {"sslnegotiation=direct", true},
		{"channel_binding=require", false}, {"require_auth=scram-sha-256", false},
	} {
		conn, err := pgx.Connect(t.Context(), base+" "+tt.setting)
		if err == nil {
			conn.Close(t.Context())
		}
		if (err == nil) != tt.works || e2e.SQLState(err) != "" {
			t.Errorf("%s: %v, want it to work: %v", tt.setting, err, tt.works)
		}
	}
}

// libpq is the version of psql's libpq, and where a newer one is, with its version.
func libpq(t *testing.T) (own int, newer string, newest int) {
	t.Helper()
	out, err := exec.Command("psql", "--version").Output()
	if err != nil {
		t.Fatalf("psql: %v", err)
	}
	fields := strings.Fields(string(out))
	own, err = strconv.Atoi(strings.Split(fields[2], ".")[0])
	if err != nil {
		t.Fatalf("psql --version: %s", out)
	}
	inst, err := pgserver.Find(t.Context(), 18)
	if err != nil {
		return own, "", own
	}
	dir := filepath.Join(filepath.Dir(inst.Bin), "lib")
	if _, err := os.Stat(filepath.Join(dir, "libpq.so.5")); err != nil {
		return own, "", own
	}
	return own, dir, inst.Major
}

// The table of libpq's settings says what happens.
func TestLibpqSettingsDoWhatTheTableSays(t *testing.T) {
	c := newClient(t)
	own, newer, newest := libpq(t)
	base := c.adapt("host=gw.example.com port=6432 dbname=orders user=alice sslrootcert=ca.crt sslcert=alice.crt sslkey=alice.key")
	n := 0
	for _, row := range document(t, "docs/drivers.md").Rows {
		if row.Table != "setting" || !strings.HasPrefix(row.Cells[0], "`") {
			continue
		}
		n++
		setting := strings.Trim(row.Cells[0], "`")
		t.Run(setting, func(t *testing.T) {
			from, _ := strconv.Atoi(row.Cells[1]) // "any" is 0
			var env []string
			if from > own {
				if from > newest {
					t.Skipf("DID NOT RUN: no libpq %d here", from)
				}
				env = []string{"LD_LIBRARY_PATH=" + newer}
			}
			dsn := base + " " + setting
			if !strings.HasPrefix(setting, "sslmode=") {
				dsn += " sslmode=verify-full"
			}
			out, err := c.run(env, "psql", "-X", "-A", "-t", "-d", dsn, "-c", "select current_user")
			switch outcome := row.Cells[2]; {
			case strings.HasPrefix(outcome, "works"):
				if err != nil || out != "alice" {
					t.Errorf("%v\n%s", err, out)
				}
			case strings.HasPrefix(outcome, "refused by pgsignet"):
				if err == nil || !strings.Contains(out, "FATAL:") || !strings.Contains(out, "(session ") {
					t.Errorf("got %q, want pgsignet's refusal", out)
				}
			default:
				if err == nil || strings.Contains(out, "FATAL:") {
					t.Errorf("got %q, want libpq's refusal", out)
				}
			}
		})
	}
	if n < 10 {
		t.Errorf("%d settings, too few to be true", n)
	}
}
