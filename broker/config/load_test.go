package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write puts files into a new directory and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestParseSize(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int64
		ok   bool
	}{
		{"8KiB", 8 << 10, true},
		{"256MiB", 256 << 20, true},
		{"1GiB", 1 << 30, true},
		{"64B", 64, true},
		{"8", 0, false},
		{"8KB", 0, false},
		{"-1KiB", -1 << 10, false},
		{"KiB", 0, false},
	} {
		got, ok := parseSize(tt.in)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("parseSize(%q) = %d, %v; want %d, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func TestParsePrefix(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"10.0.0.0/8", "10.0.0.0/8"},
		{"127.0.0.1", "127.0.0.1/32"},
		{"::ffff:10.0.0.0/104", "10.0.0.0/8"},
		{"::ffff:10.0.0.1", "10.0.0.1/32"},
		{"2001:db8::/32", "2001:db8::/32"},
		{"10.0.0.1/8", ""},
		{"10.0.0.0/33", ""},
		{"fe80::1%eth0", ""},
		{"all", ""},
	} {
		got, err := parsePrefix(tt.in)
		if (err != nil) != (tt.want == "") || err == nil && got.String() != tt.want {
			t.Errorf("parsePrefix(%q) = %v, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestDurationHint(t *testing.T) {
	for in, want := range map[string]string{"30": `"30s"`, "7d": `"168h"`, "5 s": `"5s"`, "soon": ""} {
		if got := durationHint(in); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("durationHint(%q) = %q; want %q in it", in, got, want)
		}
	}
	if got := FormatDuration(24 * time.Hour); got != "24h" {
		t.Errorf("FormatDuration(24h) = %q", got)
	}
}

func TestDirectoryReadsInNameOrder(t *testing.T) {
	dir := write(t, map[string]string{
		"20.hcl":      `database "b" { upstream = "x" }`,
		"10.hcl":      `database "a" { upstream = "x" }`,
		"notes.txt":   `not read`,
		".hidden.hcl": `not read either`,
	})
	d := &decoder{}
	got := d.expand([]string{dir})
	want := []string{filepath.Join(dir, "10.hcl"), filepath.Join(dir, "20.hcl")}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("expand = %q, want %q", got, want)
	}
}
