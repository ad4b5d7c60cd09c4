package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// SHOW TRUST tells what the listener shows and believes, revocation lists too.
func TestConsoleShowTrust(t *testing.T) {
	w := Shared(t)
	list, err := w.Clients.CRLPEM(pki.CRLShape{Number: big.NewInt(7), NextUpdate: time.Now().Add(-time.Hour), ThisUpdate: time.Now().Add(-2 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	b := w.startConsole(t, Options{Listener: `crl = ["clients.crl"]`, Files: map[string]string{"clients.crl": string(list)}})
	got := map[string]map[string]any{}
	for _, r := range show(t, b.Console(t), "TRUST") {
		got[r["kind"].(string)] = r
	}
	server, ca, crl := got["server"], got["client_ca"], got["crl"]
	if len(got) != 3 || server["status"] != "ok" || server["listener"] != "main" || ca["sha256"] != fmt.Sprintf("%x", sha256.Sum256(w.Clients.X509.Raw)) {
		t.Errorf("SHOW TRUST: %v", got)
	}
	if crl["status"] != "overdue" || crl["number"] != "7" || crl["sha256"] != nil || crl["file"] != filepath.Join(b.Dir, "clients.crl") {
		t.Errorf("the list: %v", crl)
	}
}

// Every command that acts is recorded with its arguments and its outcome, and so is one that a viewer
// has no right to. SHUTDOWN WAIT_FOR_CLIENTS lets nobody in and waits.
func TestEveryAdminActionIsRecorded(t *testing.T) {
	w := Shared(t)
	b := w.startConsole(t, Options{})
	ctx := context.Background()
	c, viewer := b.Console(t), b.Connect(t, w.admin(t, "Viewers"), "eve", "pgsignet")
	want := 0
	for _, tt := range []struct{ sql, verb, args, result string }{
		{"PAUSE stock", "PAUSE", "[stock]", "ok"},
		{"RESUME stock", "RESUME", "[stock]", "ok"},
		{"RESUME stock", "RESUME", "[stock]", "failed"},
		{"RECONNECT", "RECONNECT", "<nil>", "ok"},
		{"WAIT_CLOSE stock", "WAIT_CLOSE", "[stock]", "ok"},
		{"DISABLE stock", "DISABLE", "[stock]", "ok"},
		{"ENABLE stock", "ENABLE", "[stock]", "ok"},
		{"KILL stock", "KILL", "[stock]", "ok"},
		{"RESUME", "RESUME", "<nil>", "ok"},
		{"KILL_CLIENT 4711", "KILL_CLIENT", "[4711]", "failed"},
		{"KILL SESSION 'x'", "KILL SESSION", "[x]", "failed"},
		{"KILL CERT DN 'CN=x'", "KILL CERT", "[DN 'CN=x']", "ok"},
		{"LOCK CERT SPIFFE 'spiffe://a/b' FOR '1 hour' REASON 'r'", "LOCK CERT", "[SPIFFE 'spiffe://a/b' FOR 1h0m0s REASON r]", "ok"},
		{"UNLOCK CERT SPIFFE 'spiffe://a/b'", "UNLOCK CERT", "[SPIFFE 'spiffe://a/b']", "ok"},
		{"RELOAD", "RELOAD", "<nil>", "ok"},
		{"viewer: SHUTDOWN", "SHUTDOWN", "<nil>", "failed"},
		{"SHUTDOWN WAIT_FOR_CLIENTS", "SHUTDOWN", "[WAIT_FOR_CLIENTS]", "ok"},
	} {
		sql, byViewer := strings.CutPrefix(tt.sql, "viewer: ")
		conn, rule := c, "operators"
		if byViewer {
			conn, rule = viewer, "viewers"
		}
		_, err := conn.Exec(ctx, sql)
		if (err == nil) != (tt.result == "ok") {
			t.Errorf("%s: %v", tt.sql, err)
		}
		want++
		r := b.Records("admin.action", want)[want-1]
		a := r["action"].(map[string]any)
		if got := fmt.Sprint(a["verb"], " ", a["args"], " ", a["result"]); got != tt.verb+" "+tt.args+" "+tt.result || r["map"] != rule || r["cert_sha256"] == nil {
			t.Errorf("%s: recorded %v", tt.sql, r)
		}
	}
	viewer.Close(ctx)
	if _, err := b.TryConnect(w.Client("alice"), "alice", "orders"); err == nil {
		t.Error("SHUTDOWN WAIT_FOR_CLIENTS lets clients in")
	}
	if got := show(t, c, "VERSION"); len(got) != 1 {
		t.Error("the session that is there was hurt")
	}
	c.Close(ctx)
	if code := b.Wait(StopLimit); code != 0 {
		t.Errorf("status %d", code)
	}
}

// asNobody runs a command as another user than the broker's.
func asNobody(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "PGCONNECT_TIMEOUT=10"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Another user gets nothing from the broker's sockets, even if somebody opens the directories' modes:
// the kernel says who connects.
func TestForeignUsersAreRefusedOnTheSockets(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can run psql as another user")
	}
	w := Shared(t)
	runtime, setting := runtimeDir(t)
	socket := socketPath(t)
	b := w.Start(t, Options{Rules: people, Top: setting, Admin: fmt.Sprintf("address = \"\"\nsocket = %q", socket)})
	dir := filepath.Dir(socket)
	psql := []string{"-X", "-A", "-t", "-h", dir, "-p", "5432", "-U", "x", "-d", "pgsignet", "-c", "SHOW VERSION"}
	if err := os.Symlink("admin.sock", filepath.Join(dir, ".s.PGSQL.5432")); err != nil {
		t.Fatal(err)
	}
	if out, err := asNobody(t, "psql", psql...); err == nil || !strings.Contains(out, "Permission denied") {
		t.Errorf("modes as the broker makes them: %v %s", err, out)
	}
	peers, err := filepath.Glob(filepath.Join(runtime, "*.sock"))
	if err != nil || len(peers) != 1 {
		t.Fatalf("%q in runtime_dir, %v", peers, err)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o755, socket: 0o777, runtime: 0o755, peers[0]: 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := asNobody(t, "psql", psql...); err == nil || !strings.Contains(out, "only root and the broker's own user may use this socket") {
		t.Errorf("psql as another user: %v %s", err, out)
	}
	if out, err := exec.Command("psql", psql...).CombinedOutput(); err != nil || string(out) != "PgBouncer 1.25.2\n" {
		t.Errorf("psql as the broker's user: %v %s", err, out)
	}
	script := "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n" +
		"try:\n s.sendall(b'\\0\\0\\0\\x1c{\"Do\":\"take\",\"Node\":\"test\"}')\n print(s.recvmsg(100, 4096)[:2])\nexcept OSError as e:\n print(e)\n"
	out, err := asNobody(t, "/usr/bin/python3", "-c", script, peers[0])
	if err != nil || out != "(b'', [])\n" && !strings.Contains(out, "Broken pipe") && !strings.Contains(out, "reset") {
		t.Errorf("take as another user: %v %s", err, out)
	}
	b.Connect(t, w.Client("alice"), "alice", "orders")
}

// The HTTP endpoint with TLS asks every client for a certificate of client_ca.
func TestAdminEndpointWithClientCertificates(t *testing.T) {
	w := Shared(t)
	admins, err := pki.NewRoot(pki.Shape{CN: "Admin CA"})
	if err != nil {
		t.Fatal(err)
	}
	b := w.Start(t, Options{Rules: people, Files: map[string]string{"admin-ca.crt": string(admins.PEM())},
		Admin: "address = \"localhost:0\"\ncert_file = \"server.crt\"\nkey_file = \"server.key\"\nclient_ca = [\"admin-ca.crt\"]"})
	url := strings.Replace(b.AdminURL(), "http:", "https:", 1)
	for _, tt := range []struct {
		name string
		leaf *pki.Leaf
		want bool
	}{
		{"no certificate", nil, false},
		{"a client's", w.Client("alice"), false},
		{"an administrator's", w.issue(t, admins, pki.Shape{CN: "prometheus"}), true},
	} {
		cfg := &tls.Config{RootCAs: w.Servers.Pool(), ServerName: "localhost"}
		if tt.leaf != nil {
			cert := tt.leaf.TLS()
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}}
		r, err := client.Get(url + "/readyz")
		if err == nil {
			r.Body.Close()
		}
		if (err == nil && r.StatusCode == 200) != tt.want {
			t.Errorf("%s: %v, want an answer: %v", tt.name, err, tt.want)
		}
	}
	if r, err := http.Get(b.AdminURL() + "/metrics"); err == nil {
		if r.Body.Close(); r.StatusCode == 200 {
			t.Error("in clear: answered")
		}
	}
}

// A broker whose own certificate has expired is not ready: no client could verify it.
func TestReadinessWithAnExpiredCertificate(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	ends := time.Now().Add(15 * time.Second) // by then the broker has started
	server := w.issue(t, w.Servers, pki.Shape{CN: "localhost", DNS: []string{"localhost"}, ServerAuth: true, NotAfter: ends})
	b := w.Start(t, Options{Rules: people, Admin: httpOn, Server: server})
	Poll(t, "readiness to fail", func() bool {
		status, body := get(t, b.AdminURL()+"/readyz?verbose", nil)
		return status == 503 && strings.Contains(body, "[-] certificate main: expired on ") && strings.Contains(body, "[+] accepting ok")
	})
}
