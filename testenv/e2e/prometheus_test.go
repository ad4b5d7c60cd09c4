package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// prometheus is a process that scrapes the brokers it is told of.
type prometheus struct {
	url, targets string
	brokers      map[string]string // addresses of /metrics by name
}

// startPrometheus loads the rules and scrapes once in half a second.
func startPrometheus(t *testing.T, rules []byte) *prometheus {
	t.Helper()
	dir := t.TempDir()
	address := freeAddress(t)
	p := &prometheus{url: "http://" + address, targets: filepath.Join(dir, "targets.json")}
	hurried := regexp.MustCompile(`(?m)^\s+for: .*\n`).ReplaceAll(rules, nil)
	hurried = regexp.MustCompile(`\[\d+m\]`).ReplaceAll(hurried, []byte("[8s]"))
	for name, text := range map[string]string{
		"alerts.yml": string(hurried), "targets.json": "[]",
		"prometheus.yml": `
global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}
rule_files: [alerts.yml]
scrape_configs:
  - job_name: pgsignet
    file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus:\n%s", log.String())
		}
	})
	Poll(t, "prometheus to be ready", func() bool {
		r, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return p
}

// scrape has Prometheus read brokers, each by a name of its own as the instance.
func (p *prometheus) scrape(t *testing.T) {
	t.Helper()
	type target struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	var all []target
	for name, address := range p.brokers {
		all = append(all, target{[]string{address}, map[string]string{"instance": name}})
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.targets, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for name := range p.brokers {
		Poll(t, "prometheus to read "+name, func() bool {
			return strings.Contains(p.ask(t, "/api/v1/query?query=up"), `"instance":"`+name+`"`)
		})
	}
}

func (p *prometheus) ask(t *testing.T, path string) string {
	t.Helper()
	r, err := http.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// firing is the text of a trouble's alert, or nothing.
func (p *prometheus) firing(t *testing.T, tr trouble) string {
	t.Helper()
	var answer struct {
		Data struct {
			Alerts []struct {
				Labels, Annotations map[string]string
			}
		}
	}
	if err := json.Unmarshal([]byte(p.ask(t, "/api/v1/alerts")), &answer); err != nil {
		t.Fatal(err)
	}
	for _, a := range answer.Data.Alerts {
		fits := a.Labels["alertname"] == tr.alert
		for k, v := range tr.labels {
			fits = fits && a.Labels[k] == v
		}
		if fits {
			return a.Annotations["summary"]
		}
	}
	return ""
}
