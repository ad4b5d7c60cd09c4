// Package deb holds the Debian package to what docs/install.md says of it: built, installed in a
// chroot, its service's command line run there against a real PostgreSQL, upgraded, removed, purged.
// Its folder man writes the manual pages.
package deb

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/docs"
	"github.com/pgsignet/pgsignet/testenv/e2e"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

func TestMain(m *testing.M) { os.Exit(e2e.Main(m)) }

// pack makes the package, once for all tests. An error of missing tools begins with "did not run".
var pack = sync.OnceValues(func() ([]byte, error) {
	if _, err := docs.Sources(); err != nil { // read by this process, so that no result is cached when one changes
		return nil, err
	}
	nfpm := exec.Command("go", "tool", "-modfile=tools/go.mod", "nfpm", "--version")
	nfpm.Dir = docs.Root
	if out, err := nfpm.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return nil, fmt.Errorf("did not run: nfpm cannot be built: %s", lines[len(lines)-1])
	}
	const version = "1.0~test1"
	cmd := exec.Command("make", "deb", "DEB_VERSION="+version)
	cmd.Dir = docs.Root
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make deb: %w\n%s", err, out)
	}
	found, _ := filepath.Glob(filepath.Join(docs.Root, "bin", "pgsignet_"+version+"_*.deb"))
	if len(found) != 1 {
		return nil, fmt.Errorf("make deb left %v", found)
	}
	defer os.Remove(found[0])
	return os.ReadFile(found[0])
})

// copyIn puts the package into the root's /opt.
func (r *root) copyIn(t *testing.T) string {
	t.Helper()
	data, err := pack()
	if err != nil && strings.HasPrefix(err.Error(), "did not run") {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.path("/opt/pgsignet.deb"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return "/opt/pgsignet.deb"
}

// followInstall runs the commands of docs/install.md for the package, all in one shell's order.
func followInstall(t *testing.T, r *root, ready func(n int)) {
	t.Helper()
	all, err := docs.Read()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range all {
		for _, b := range d.Blocks {
			if d.Path == "docs/install.md" && b.Is("sh", "deb") {
				ready(n)
				r.run(t, "sh", "-e", "-c", "cd /etc/pgsignet\n"+b.Text)
				n++
			}
		}
	}
	if n < 2 {
		t.Fatalf("%d blocks for the package in docs/install.md, too few to be true", n)
	}
}

// edit puts this test's addresses into the configuration, as an administrator would.
func (r *root) edit(t *testing.T, postgres string) {
	t.Helper()
	name := r.path("/etc/pgsignet/pgsignet.hcl")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.NewReplacer(`"localhost:5432"`, `"`+postgres+`"`, `"127.0.0.1:6432"`, `"127.0.0.1:0"`, `"127.0.0.1:9432"`, `""`).Replace(string(text))
	if strings.Count(edited, postgres) != 1 {
		t.Fatalf("the example names no server of its own:\n%s", text)
	}
	if err := os.WriteFile(name, []byte(edited), 0o644); err != nil {
		t.Fatal(err)
	}
}

// service is what systemd would do with the unit: its folders, its user, its command line.
func (r *root) service(t *testing.T) *e2e.Broker {
	t.Helper()
	unit, err := os.ReadFile(r.path("/usr/lib/systemd/system/pgsignet.service"))
	if err != nil {
		t.Fatal(err)
	}
	setting := func(name string) string {
		m := regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindStringSubmatch(string(unit))
		if m == nil {
			t.Fatalf("the unit has no %s", name)
		}
		return m[1]
	}
	user := setting("User")
	r.run(t, "install", "-d", "-o", user, "-g", setting("Group"), "-m", setting("RuntimeDirectoryMode"), "/run/"+setting("RuntimeDirectory"))
	args := append([]string{"setpriv", "--reuid", user, "--regid", setting("Group"), "--clear-groups", "--no-new-privs", "--bounding-set=-all"},
		strings.Fields(setting("ExecStart"))...)
	return new(e2e.World).StartCommand(t, r.path("/var/lib/"+setting("StateDirectory")+"/unit"), r.command(args...))
}

// postgres is a server with the certificates that the root has made.
func postgres(t *testing.T, r *root) *pgserver.Server {
	t.Helper()
	pki := t.TempDir() // beyond /proc, where the server's own user may read
	if err := os.Chmod(pki, 0o755); err != nil {
		t.Fatal(err)
	}
	tls := pgserver.TLS{}
	for name, to := range map[string]*string{"postgres.crt": &tls.Cert, "postgres.key": &tls.Key, "broker-ca.crt": &tls.CA} {
		data, err := os.ReadFile(r.path("/etc/pgsignet/pki/" + name))
		if err != nil {
			t.Fatal(err)
		}
		*to = filepath.Join(pki, name)
		if err := os.WriteFile(*to, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pg := pgserver.Start(t, pgserver.Options{TLS: tls, Ident: []string{"pgsignet broker alice"},
		HBA: []string{"hostssl all alice 127.0.0.1/32 cert map=pgsignet", "host all all all reject"}})
	pg.MustExec(t, "CREATE ROLE alice LOGIN")
	if err := pg.CreateDatabase(context.Background(), "orders", "alice"); err != nil {
		t.Fatal(err)
	}
	return pg
}

// login opens a session as alice, with her certificate of the root, and closes it with the test.
func (r *root) login(t *testing.T, port string) *pgx.Conn {
	t.Helper()
	pki := r.path("/etc/pgsignet/pki")
	dsn := fmt.Sprintf("host=localhost port=%s user=alice dbname=orders sslmode=verify-full sslrootcert=%s/servers-ca.crt sslcert=%s/alice.crt sslkey=%s/alice.key",
		port, pki, pki, pki)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func TestPackageInstallsServesAndIsPurged(t *testing.T) {
	r := newRoot(t)
	deb := r.copyIn(t)
	r.run(t, "dpkg", "--install", deb)
	checkFiles(t, r)

	followInstall(t, r, func(n int) {
		if n == 1 { // between the first block and `check`
			r.edit(t, fmt.Sprintf("localhost:%d", postgres(t, r).Port))
		}
	})
	b := r.service(t)
	conn := r.login(t, b.Port())
	var role string
	if err := conn.QueryRow(t.Context(), "select current_user").Scan(&role); err != nil || role != "alice" {
		t.Errorf("logged in as %q: %v", role, err)
	}
	if out := r.run(t, "pgsignet", "sessions", "--json"); !strings.Contains(out, `"alice"`) {
		t.Errorf("pgsignet sessions, as root by the socket, shows %s", out)
	}
	r.run(t, "pgsignet", "healthcheck")
	r.run(t, "dpkg", "--install", deb) // an upgrade leaves the broker and its sessions alone
	if _, err := conn.Exec(t.Context(), "select 1"); err != nil {
		t.Errorf("after an upgrade: %v", err)
	}
	conn.Close(t.Context())
	b.Records("session.close", 1)
	b.Signal(syscall.SIGTERM)
	if code := b.Wait(e2e.StopLimit); code != 0 {
		t.Errorf("ended with %d\n%s", code, b.Output())
	}
	checkRemoval(t, r, deb)
}

// checkFiles looks at what the installation left.
func checkFiles(t *testing.T, r *root) {
	t.Helper()
	for _, name := range []string{
		"/usr/bin/pgsignet", "/usr/lib/systemd/system/pgsignet.service", "/usr/lib/systemd/system/pgsignet.socket",
		"/usr/share/man/man1/pgsignet.1.gz", "/usr/share/man/man5/pgsignet.hcl.5.gz", "/usr/share/man/man8/pgsignet.8.gz",
		"/usr/share/doc/pgsignet/README.md", "/usr/share/doc/pgsignet/docs/troubleshooting.md",
		"/usr/share/bash-completion/completions/pgsignet", "/usr/share/zsh/vendor-completions/_pgsignet",
		"/usr/share/fish/vendor_completions.d/pgsignet.fish",
		"/usr/share/doc/pgsignet/examples/pgsignet.hcl", "/usr/share/doc/pgsignet/examples/reference.hcl",
	} {
		if !r.has(name) {
			t.Errorf("no %s after the installation", name)
		}
	}
	if out := r.run(t, "stat", "-c", "%U:%G %a", "/etc/pgsignet", "/etc/pgsignet/pki", "/var/lib/pgsignet"); out != "root:pgsignet 750\nroot:pgsignet 750\npgsignet:pgsignet 700\n" {
		t.Errorf("folders: %s", out)
	}
	r.run(t, "bash", "-n", "/usr/share/bash-completion/completions/pgsignet")
	if out := r.run(t, "getent", "passwd", "pgsignet"); !strings.HasSuffix(out, ":/var/lib/pgsignet:/usr/sbin/nologin\n") {
		t.Errorf("the user: %s", out)
	}
}

// checkRemoval removes and purges: neither takes the audit, the configuration or the user.
func checkRemoval(t *testing.T, r *root, deb string) {
	t.Helper()
	for _, how := range []string{"--remove", "--purge"} {
		out := r.run(t, "dpkg", how, "pgsignet")
		for _, name := range []string{"/var/lib/pgsignet/audit/audit.vkey", "/etc/pgsignet/pgsignet.hcl", "/etc/pgsignet/pki/server.key"} {
			if !r.has(name) {
				t.Errorf("dpkg %s deleted %s", how, name)
			}
		}
		if how == "--purge" && !strings.Contains(out, "/var/lib/pgsignet is kept") {
			t.Errorf("a purge does not say what it keeps: %s", out)
		}
		if r.has("/usr/bin/pgsignet") {
			t.Errorf("dpkg %s left the program", how)
		}
		r.run(t, "getent", "passwd", "pgsignet")
	}
	if out, _ := r.command("dpkg-query", "-W", "-f=${db:Status-Status}", "pgsignet").CombinedOutput(); strings.Contains(string(out), "installed") && !strings.Contains(string(out), "not-installed") {
		t.Errorf("after the purge dpkg says %q", out)
	}
	r.run(t, "sh", "-c", "rm -r /etc/pgsignet/* /var/lib/pgsignet/*")
	r.run(t, "dpkg", "--install", deb)
	r.run(t, "dpkg", "--purge", "pgsignet")
	for _, name := range []string{"/etc/pgsignet", "/var/lib/pgsignet"} {
		if r.has(name) {
			t.Errorf("a purge left %s, which was empty", name)
		}
	}
}
