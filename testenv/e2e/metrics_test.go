package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// httpOn opens the HTTP endpoint on a free port.
const httpOn = `address = "localhost:0"`

// AdminURL is the HTTP endpoint of a broker that was started with one.
func (b *Broker) AdminURL() string {
	b.t.Helper()
	line := b.Find("admin endpoint listening")
	if line == nil {
		b.t.Fatal("no admin endpoint")
	}
	return "http://" + line["address"].(string)
}

// get returns status and body of a request; change may alter it first.
func get(t *testing.T, url string, change func(*http.Request)) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// metrics reads every series of /metrics.
func (b *Broker) metrics(t *testing.T) map[string]string {
	t.Helper()
	status, body := get(t, b.AdminURL()+"/metrics", nil)
	if status != http.StatusOK {
		t.Fatalf("/metrics: status %d: %s", status, body)
	}
	series := make(map[string]string)
	for scan := bufio.NewScanner(strings.NewReader(body)); scan.Scan(); {
		if line := scan.Text(); !strings.HasPrefix(line, "#") {
			cut := strings.LastIndexByte(line, ' ')
			series[line[:cut]] = line[cut+1:]
		}
	}
	return series
}

func TestMetrics(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Admin: httpOn})
	began := b.metrics(t) // increase() does not see the first count of a series that appears with it
	for _, name := range []string{
		`pgsignet_connections_refused_total{listener="main",reason="max_clients"}`,
		`pgsignet_connections_refused_total{listener="main",reason="half_open"}`,
		`pgsignet_connections_refused_total{listener="main",reason="half_open_per_address"}`,
		`pgsignet_upstream_connect_errors_total{upstream="pg"}`,
		`pgsignet_logins_total{map="people"}`,
		`pgsignet_sessions{map="people"}`,
	} {
		if began[name] != "0" {
			t.Errorf("%s is %q before anything has happened, want 0", name, began[name])
		}
	}
	ctx := context.Background()
	c := b.Connect(t, w.Client("alice"), "alice", "orders")
	for range 3 {
		if _, err := c.Exec(ctx, "select 1"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.TryConnect(w.Client("alice"), "bob", "orders"); err == nil {
		t.Fatal("a stranger was let in")
	}
	var got map[string]string
	Poll(t, "the refused client to have gone", func() bool {
		got = b.metrics(t)
		return got[`pgsignet_connections{listener="main",state="half_open"}`] == "0"
	})
	for series, want := range map[string]string{
		`pgsignet_ready`:                                                        "1",
		`pgsignet_logins_total{map="people"}`:                                   "1",
		`pgsignet_logins_denied_total{reason="user_not_granted"}`:               "1",
		`pgsignet_sessions{map="people"}`:                                       "1",
		`pgsignet_pool_clients{database="orders",state="active",upstream="pg"}`: "1",
		`pgsignet_pool_clients{database="stock",state="waiting",upstream="pg"}`: "0",
		`pgsignet_pool_servers{database="orders",state="active",upstream="pg"}`: "1",
		`pgsignet_pool_maxwait_seconds{database="orders",upstream="pg"}`:        "0",
		`pgsignet_pool_acquire_seconds_count{upstream="pg"}`:                    "1",
		`pgsignet_upstream_connect_seconds_count{upstream="pg"}`:                "1",
		`pgsignet_queries_total{database="orders"}`:                             "3",
		`pgsignet_transactions_total{database="orders"}`:                        "3",
		`pgsignet_audit_lost_total`:                                             "0",
		`pgsignet_config_last_reload_successful`:                                "1",
		`pgsignet_upstream_last_reload_successful{upstream="pg"}`:               "1",
		`pgsignet_trust_last_reload_successful{listener="main"}`:                "1",
		`pgsignet_client_certificate_expiration_seconds_count`:                  "1",
		`pgsignet_connections{listener="main",state="open"}`:                    "1",
		`pgsignet_connections{listener="main",state="half_open"}`:               "0",
	} {
		if got[series] != want {
			t.Errorf("%s is %q, want %s", series, got[series], want)
		}
	}
	built := regexp.MustCompile(`^pgsignet_build_info\{goversion="go[^"]+",version="[^"]+"\}$`)
	if !slices.ContainsFunc(slices.Collect(maps.Keys(got)), built.MatchString) {
		t.Error("no pgsignet_build_info with a version")
	}
	for _, series := range []string{
		`pgsignet_upstream_certificate_not_after_timestamp_seconds{kind="certificate",position="0",upstream="pg"}`,
		`pgsignet_upstream_certificate_not_after_timestamp_seconds{kind="server_ca",position="0",upstream="pg"}`,
		`pgsignet_certificate_not_after_timestamp_seconds{kind="server",listener="main",position="0"}`,
		`pgsignet_certificate_not_after_timestamp_seconds{kind="client_ca",listener="main",position="0"}`,
		`pgsignet_config_last_reload_success_timestamp_seconds`, `pgsignet_bytes_total{database="orders",direction="in"}`,
	} {
		if got[series] == "" || got[series] == "0" {
			t.Errorf("%s is %q", series, got[series])
		}
	}
}

// A119: however many names certificates bear, no series bears one.
func TestA119SeriesAreBounded(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Admin: httpOn, Rules: `
		map "anyone" {
			match { cn = "/^([a-z0-9-]+)$" }
			role  = "app"
			assume = true
			databases = ["orders"]
		}`})
	count := func(from, to int) int {
		for i := from; i < to; i++ {
			cn := fmt.Sprintf("client-%d", i)
			c, err := b.TryConnect(w.issue(t, w.Clients, pki.Shape{CN: cn}), cn, "orders")
			if err != nil {
				t.Fatal(err)
			}
			c.Close(context.Background())
			b.TryConnect(w.issue(t, w.Clients, pki.Shape{CN: cn + "_"}), cn, "db_"+cn)
		}
		n := 0
		for series := range b.metrics(t) {
			if strings.HasPrefix(series, "pgsignet_") {
				n++
			}
			if strings.Contains(series, "client-") {
				t.Errorf("series %s names a client", series)
			}
		}
		return n
	}
	gone, err := b.TryConnect(w.issue(t, w.Clients, pki.Shape{CN: "gone"}), "gone", "orders")
	if err != nil {
		t.Fatal(err)
	}
	gone.PgConn().Conn().Close() // so that both ways to leave have their series: a goodbye may come too late to be read
	Poll(t, "the end of a client that said no goodbye", func() bool {
		return b.metrics(t)[`pgsignet_session_ends_total{reason="client_closed"}`] != ""
	})
	first := count(0, 5)
	if more := count(5, 30); more != first {
		t.Errorf("%d series with 5 clients, %d with 30", first, more)
	}
}

// A117, the HTTP endpoint: another name for this machine, another method, a debugger's paths.
func TestA117HTTPEndpoint(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Admin: httpOn})
	for _, tt := range []struct {
		name, path string
		change     func(*http.Request)
		want       int
	}{
		{"metrics", "/metrics", nil, 200},
		{"health", "/healthz", nil, 200},
		{"ready", "/readyz", nil, 200},
		{"localhost", "/readyz", func(r *http.Request) { r.Host = "localhost:9432" }, 200},
		{"rebound name", "/metrics", func(r *http.Request) { r.Host = "evil.example:9432" }, 421},
		{"no pprof", "/debug/pprof/", nil, 404},
		{"root", "/", nil, 404},
		{"post", "/metrics", func(r *http.Request) { r.Method = http.MethodPost }, 405},
	} {
		if status, body := get(t, b.AdminURL()+tt.path, tt.change); status != tt.want {
			t.Errorf("%s: status %d, want %d: %s", tt.name, status, tt.want, body)
		}
	}
}

func TestReadinessWhileDraining(t *testing.T) {
	w := Shared(t)
	b := w.Start(t, Options{Rules: people, Admin: httpOn, Drain: "10s"})
	c := b.Connect(t, w.Client("alice"), "alice", "orders")
	tx, err := c.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	url := b.AdminURL() + "/readyz?verbose"
	if status, body := get(t, url, nil); status != 200 || !strings.Contains(body, "[+] certificate main ok") {
		t.Errorf("before: %d %s", status, body)
	}
	b.Signal(syscall.SIGTERM)
	Poll(t, "readiness to fail", func() bool {
		status, body := get(t, url, nil)
		return status == 503 && strings.Contains(body, "[-] accepting: draining")
	})
	if status, _ := get(t, b.AdminURL()+"/healthz", nil); status != 200 {
		t.Error("a draining broker is alive")
	}
	tx.Rollback(context.Background())
	c.Close(context.Background())
}

func TestHealthcheckCommand(t *testing.T) {
	w := Shared(t)
	path := w.WriteConfig(t, Options{Rules: people, Admin: httpOn})
	b := w.StartConfig(t, path)
	run := func(address string) (string, error) {
		cmd := exec.Command(w.Binary(), "healthcheck", "--config", path)
		cmd.Env = append(cmd.Environ(), "PGSIGNET_ADMIN_ADDR="+address)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(strings.TrimPrefix(b.AdminURL(), "http://")); err != nil || !strings.Contains(out, "[+] accepting ok") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := run("127.0.0.1:1"); err == nil {
		t.Errorf("no broker, and healthy: %s", out)
	}
}
