package pgserver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeBin makes a directory whose postgres says it is of that version; "" leaves postgres out.
func fakeBin(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, script string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("initdb", "exit 1")
	write("pg_config", "echo "+dir)
	if version != "" {
		write("postgres", "echo 'postgres (PostgreSQL) "+version+"'")
	}
	return dir
}

// bareMachine has nothing installed but what the test puts there.
func bareMachine(t *testing.T) {
	t.Setenv("PATH", t.TempDir()+":/bin:/usr/bin")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("PGSIGNET_TEST_PGBIN", "")
}

func TestFindOrder(t *testing.T) {
	bareMachine(t)
	root := t.TempDir()
	named := fakeBin(t, filepath.Join(root, "named"), "16.1 (Debian 16.1-1)")
	config := fakeBin(t, filepath.Join(root, "config"), "15.18")
	nine := fakeBin(t, filepath.Join(root, "lib", "9", "bin"), "15.9")
	eighteen := fakeBin(t, filepath.Join(root, "lib", "18", "bin"), "15.18")
	seventeen := fakeBin(t, filepath.Join(root, "lib", "17", "bin"), "17beta2")
	fakeBin(t, filepath.Join(root, "lib", "old", "bin"), "14.12")
	hollow := fakeBin(t, filepath.Join(root, "hollow"), "")
	for _, tt := range []struct {
		name, pgbin, path string
		major             int
		want, source      string
	}{
		{"the variable wins", named, config, 0, named, "PGSIGNET_TEST_PGBIN"},
		{"then pg_config", "", config, 0, config, "pg_config"},
		{"pg_config without a server is passed over", "", hollow, 0, seventeen, "installed"},
		{"the variable of another version is passed over", named, config, 15, config, "pg_config"},
		{"highest version of a major", "", hollow, 15, eighteen, "installed"},
		{"a beta is a version", "", config, 17, seventeen, "installed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("PGSIGNET_TEST_PGBIN", tt.pgbin)
			t.Setenv("PATH", tt.path+":/bin:/usr/bin")
			got, err := find(t.Context(), tt.major, []string{filepath.Join(root, "lib", "*", "bin")})
			if err != nil {
				t.Fatal(err)
			}
			if got.Bin != tt.want || got.Source != tt.source {
				t.Errorf("Find(%d) = %s from %s, want %s from %s", tt.major, got.Bin, got.Source, tt.want, tt.source)
			}
		})
	}
	if compareVersions("15.9", "15.18") >= 0 {
		t.Errorf("15.9 in %s sorts after 15.18", nine)
	}
}

func TestFindSaysWhatToDo(t *testing.T) {
	err := notFound(17)
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("%v is not ErrNotFound", err)
	}
	for _, remedy := range []string{"apt-get install postgresql-17", "make testenv", "PGSIGNET_TEST_PGBIN", "PGSIGNET_TEST_DSN"} {
		if !strings.Contains(err.Error(), remedy) {
			t.Errorf("%q does not name %q", err, remedy)
		}
	}
}

func TestFindRefusesAWrongVariable(t *testing.T) {
	bareMachine(t)
	t.Setenv("PGSIGNET_TEST_PGBIN", t.TempDir())
	if got, err := Find(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "PGSIGNET_TEST_PGBIN") {
		t.Errorf("Find = %v, %v, want an error that names the variable", got, err)
	}
}

func TestLinksStayInThePackage(t *testing.T) {
	pkg := t.TempDir()
	for _, tt := range []struct{ to, at string }{{"../x", "lib/x"}, {"lib/x", "/etc/x"}, {"lib/x", "../x"}} {
		if err := makeLink(pkg, tt.to, tt.at); err == nil {
			t.Errorf("makeLink(%q, %q) leads outside and was made", tt.to, tt.at)
		}
	}
}

func TestLockFileOfNPMNamesNoHost(t *testing.T) {
	for _, name := range []string{"npm/package.json", "npm/package-lock.json"} {
		data, err := npmFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "://") {
			t.Errorf("%s holds an address; write it with --omit-lockfile-registry-resolved", name)
		}
	}
}
