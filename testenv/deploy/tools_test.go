// Package deploy holds the files of deploy/ to the tools that read them, promtool and systemd-analyze,
// and to the names in /metrics. A tool that is not installed is reported.
package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tool runs a program on a folder's files; it must succeed.
func tool(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("did not run: no %s here (Debian: %s)", name, map[string]string{"promtool": "prometheus", "systemd-analyze": "systemd"}[name])
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestAlertsPassPromtool(t *testing.T) {
	text := read(t, "deploy/prometheus/alerts.yml")
	dir := filepath.Join(root, "deploy/prometheus")
	tool(t, dir, "promtool", "check", "rules", "--lint-fatal", "alerts.yml")
	tests := read(t, "deploy/prometheus/alerts_test.yml")
	tool(t, dir, "promtool", "test", "rules", "alerts_test.yml")
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(text, -1) {
		cases := regexp.MustCompile(`alertname: `+m[1]+`\n.*\n(\s+exp_alerts:)?`).FindAllStringSubmatch(tests, -1)
		fires, quiet := false, false
		for _, c := range cases {
			fires, quiet = fires || c[1] != "", quiet || c[1] == ""
		}
		if !fires || !quiet && !strings.HasSuffix(m[1], "CertificateExpires") { // whose two series stand for both
			t.Errorf("alerts_test.yml does not show %s fire and keep quiet", m[1])
		}
	}
}

func TestComposePrometheusConfigurationPassesPromtool(t *testing.T) {
	read(t, "deploy/compose/prometheus.yml")
	tool(t, filepath.Join(root, "deploy/compose"), "promtool", "check", "config", "--syntax-only", "prometheus.yml")
}

// The units are verified where their program exists: a copy names one that does.
func TestUnitsPassSystemdAnalyze(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"pgsignet.service", "pgsignet.socket"} {
		text := strings.ReplaceAll(read(t, "deploy/systemd/"+name), "/usr/bin/pgsignet", "/bin/true")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SYSTEMD_UNIT_PATH", dir+":")
	if out := tool(t, dir, "systemd-analyze", "verify", "--man=no", "--recursive-errors=one", "./pgsignet.service", "./pgsignet.socket"); out != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}
}

// The unit's exposure, 0 to 10, stays where it is: 1.4 with systemd 252.
func TestUnitIsHardened(t *testing.T) {
	read(t, "deploy/systemd/pgsignet.service")
	out := tool(t, filepath.Join(root, "deploy/systemd"), "systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", "pgsignet.service")
	if !strings.Contains(out, "Overall exposure level for pgsignet.service: ") {
		t.Errorf("systemd-analyze security prints %s", out)
	}
	t.Log(regexp.MustCompile(`Overall.*`).FindString(out))
}
