package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/reference"
)

// goodDir holds good.hcl and the files it names, and returns the path of a copy with more behind it.
func goodDir(t *testing.T, more string) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	if _, err := reference.Make(dir, testNow); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "good.hcl")
	src := string(mustRead(t, "testdata/check/good.hcl")) + more
	if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

func TestDefaults(t *testing.T) {
	dir, file := goodDir(t, "")
	cfg, problems := Source{Paths: []string{file}, Now: testNow}.Load()
	if problems.HasErrors() {
		t.Fatal(text(t, problems))
	}
	l, u := cfg.Listeners[0], cfg.Upstreams[0]
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"cert_file", l.CertFile, filepath.Join(dir, "pki", "server.crt")},
		{"crl_policy", l.CRLPolicy, "grace"},
		{"admin of a listener", l.Admin, false},
		{"plaintext_cancel", l.PlaintextCancel, true},
		{"host without a port", u.Hosts[0], "127.0.0.1:5432"},
		{"mode", u.Pool.Mode, "session"},
		{"share", u.Pool.Share, "map"},
		{"dbname", cfg.Databases[0].DBName, "orders"},
		{"checkpoint_key", cfg.Audit.CheckpointKey, filepath.Join(dir, "audit", "audit.key")},
		{"admin address", cfg.Admin.Address, "127.0.0.1:9432"},
		{"console", cfg.Admin.Database, "pgsignet"},
		{"log level", cfg.Log.Level, "info"},
		{"descriptors", cfg.Descriptors(), 64 + 10_000 + 1000 + 2*60},
		{"files", cfg.Files[0], file},
		{"digest", len(cfg.SHA256), 64},
	} {
		if tt.got != tt.want {
			t.Errorf("%s = %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	if name, err := os.Hostname(); err == nil && cfg.Node != name {
		t.Errorf("node = %q, want %q", cfg.Node, name)
	}
}

func TestOverrides(t *testing.T) {
	_, file := goodDir(t, "log { level = \"warn\" }\nadmin { address = \"127.0.0.1:1\" }\n")
	s := Source{Paths: []string{file}, Now: testNow,
		LogLevel: Override{"debug", "PGSIGNET_LOG_LEVEL"}, AdminAddress: Override{"127.0.0.1:2", "PGSIGNET_ADMIN_ADDR"}}
	cfg, problems := s.Load()
	if problems.HasErrors() {
		t.Fatal(text(t, problems))
	}
	if cfg.Log.Level != "debug" || cfg.Admin.Address != "127.0.0.1:2" {
		t.Errorf("got %q and %q", cfg.Log.Level, cfg.Admin.Address)
	}
}

func TestCredentialsDirectory(t *testing.T) {
	dir, file := goodDir(t, "admin {\n  cert_file = \"pki/admin.crt\"\n  key_file = \"$CREDENTIALS_DIRECTORY/admin.key\"\n}\n")
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	_, problems := Source{Paths: []string{file}, Now: testNow}.Load()
	if got := text(t, problems); !strings.Contains(got, "No credentials directory") {
		t.Errorf("without the variable: %s", got)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Join(dir, "pki"))
	cfg, problems := Source{Paths: []string{file}, Now: testNow}.Load()
	if problems.HasErrors() {
		t.Fatal(text(t, problems))
	}
	if want := filepath.Join(dir, "pki", "admin.key"); cfg.Admin.KeyFile != want {
		t.Errorf("key_file = %q, want %q", cfg.Admin.KeyFile, want)
	}
}

// TestOneConfigurationFromManyFiles: relative paths start at the file that names them, a file is read
// once, and the digest tells one set of files from another.
func TestOneConfigurationFromManyFiles(t *testing.T) {
	dir, file := goodDir(t, "")
	sub := filepath.Join(dir, "conf.d")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sub, "10.hcl"), []byte("admin { locks_file = \"locks.json\" }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	alone, problems := Source{Paths: []string{file}, Now: testNow}.Load()
	if problems.HasErrors() {
		t.Fatal(text(t, problems))
	}
	cfg, problems := Source{Paths: []string{file, sub, file}, Now: testNow}.Load()
	if problems.HasErrors() {
		t.Fatal(text(t, problems))
	}
	if want := []string{file, filepath.Join(sub, "10.hcl")}; !slices.Equal(cfg.Files, want) {
		t.Errorf("files = %q, want %q", cfg.Files, want)
	}
	if want := filepath.Join(sub, "locks.json"); cfg.Admin.LocksFile != want {
		t.Errorf("locks_file = %q, want %q", cfg.Admin.LocksFile, want)
	}
	if cfg.SHA256 == alone.SHA256 {
		t.Error("two configurations with one digest")
	}
}
