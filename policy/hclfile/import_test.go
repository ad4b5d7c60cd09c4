package hclfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/policy"
	"github.com/pgsignet/pgsignet/policy/hclfile"
)

// importFiles imports real files.
func importFiles(ident, hba string) (*hclfile.Imported, error) {
	return hclfile.Import(hclfile.ImportConfig{Ident: ident, HBA: hba, Read: os.ReadFile, List: func(dir string) ([]string, error) {
		entries, err := os.ReadDir(dir)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names, err
	}})
}

// TestImport compares what the files in testdata/import become with the HCL beside them.
func TestImport(t *testing.T) {
	for _, tt := range []struct{ name, hba, golden string }{
		{"without pg_hba.conf", "", "testdata/import/ident.hcl"},
		{"with pg_hba.conf", "testdata/import/pg_hba.conf", "testdata/import/hba.hcl"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := importFiles("testdata/import/pg_ident.conf", tt.hba)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(tt.golden, got.HCL, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(tt.golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(got.HCL) != string(want) {
				t.Errorf("got\n%s", got.HCL)
			}
			if n := strings.Count(string(got.HCL), "# LEFT OUT"); n == 0 || len(got.Notes) < n {
				t.Errorf("%d blocks left out, %d notes", n, len(got.Notes))
			}
		})
	}
}

// files serves an import from memory.
type files map[string]string

func (f files) read(path string) ([]byte, error) {
	text, ok := f[filepath.ToSlash(path)]
	if !ok {
		return nil, os.ErrNotExist
	}
	return []byte(text), nil
}

func (f files) list(dir string) ([]string, error) {
	var names []string
	for name := range f {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	return names, nil
}

func (f files) imported(hba string) (*hclfile.Imported, error) {
	return hclfile.Import(hclfile.ImportConfig{Ident: "etc/pg_ident.conf", HBA: hba, Read: f.read, List: f.list})
}

// TestImportIncludes reads the directives of PostgreSQL 16, and @ files.
func TestImportIncludes(t *testing.T) {
	f := files{
		"etc/pg_ident.conf":     "include more.conf\ninclude_if_exists none.conf\ninclude_dir \"ident.d\"\nm @who own\n",
		"etc/more.conf":         "m a role_a\n",
		"etc/ident.d/10-b.conf": "m b role_b\n",
		"etc/ident.d/20-c.conf": "m c \\\n  role_c\n",
		"etc/ident.d/x.txt":     "not read\n",
		"etc/who":               "# a comment\n@deeper\n",
		"etc/deeper":            "\"d\"\n",
	}
	got, err := f.imported("")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	set, diags := decode(t, string(got.HCL))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for _, r := range set.Rules {
		found = append(found, r.Match[0].Values[0]+"="+r.Role)
	}
	if got, want := strings.Join(found, " "), "a=role_a b=role_b c=role_c d=own"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestImportRefuses refuses what PostgreSQL refuses as a whole (T11), with every place.
func TestImportRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		f     files
		hba   string
		wants []string
	}{
		{"too few fields", files{"etc/pg_ident.conf": "m a\nm b c\nm\n"}, "", []string{"pg_ident.conf:1: ", "pg_ident.conf:3: "}},
		{"a list", files{"etc/pg_ident.conf": "m a,b c\n"}, "", []string{"not a list (T11)"}},
		{"a bad expression", files{"etc/pg_ident.conf": "m /a( c\n"}, "", []string{"bracket ( without"}},
		{"a bad expression beside all", files{"etc/pg_ident.conf": "m /a( all\n"}, "", []string{"bracket ( without"}},
		{"a missing file", files{"etc/pg_ident.conf": "m @gone c\n"}, "", []string{"etc/pg_ident.conf:1: ", "not exist"}},
		{"a loop", files{"etc/pg_ident.conf": "include pg_ident.conf\n"}, "", []string{"more than 10 deep"}},
		{"a zero byte", files{"etc/pg_ident.conf": "m a\x00 b\n"}, "", []string{"zero byte"}},
		{"no such type", files{"etc/pg_ident.conf": "", "etc/pg_hba.conf": "hostsll all all all cert\n"}, "etc/pg_hba.conf", []string{`type "hostsll"`}},
		{"no such method", files{"etc/pg_ident.conf": "", "etc/pg_hba.conf": "hostssl all all all certs\n"}, "etc/pg_hba.conf", []string{"no method"}},
		{"a bad mask", files{"etc/pg_ident.conf": "", "etc/pg_hba.conf": "hostssl all all 10.0.0.0 cert\n"}, "etc/pg_hba.conf", []string{"no mask for"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.f.imported(tt.hba)
			var bad *hclfile.ImportError
			if !errors.As(err, &bad) {
				t.Fatalf("got %v", err)
			}
			for _, want := range tt.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// FuzzImport holds import to its contract: any file becomes HCL that loads, or is refused.
func FuzzImport(f *testing.F) {
	for _, name := range []string{"testdata/import/pg_ident.conf", "testdata/import/pg_hba.conf"} {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(src)) {
			f.Add(line, "hostssl all all all cert map=odd\n")
			f.Add("m /^(.*)$ \\1\nm a b\n", line)
		}
	}
	f.Add("m \"${x}\" \"%{y}\"\nm $${ a\nm a\\\n", "hostssl \"${a}\" b all cert map=m\n")
	f.Fuzz(func(t *testing.T, ident, hba string) {
		in := files{"etc/pg_ident.conf": ident, "etc/pg_hba.conf": hba, "etc/x": "x"}
		for _, hbaFile := range []string{"", "etc/pg_hba.conf"} {
			got, err := in.imported(hbaFile)
			if err != nil {
				continue
			}
			set, diags := decode(t, string(got.HCL))
			if diags.HasErrors() {
				t.Fatalf("%v\n%s", diags, got.HCL)
			}
			if _, err := policy.Compile(policy.Config{Rules: set.Rules, Databases: []policy.Database{{Name: "*", Upstream: "x"}}}); err != nil {
				t.Fatalf("%v\n%s", err, got.HCL)
			}
		}
	})
}

// A93, T7: where PostgreSQL and RE2 capture differently, the line is left out and says why.
func TestA93DifferentCaptures(t *testing.T) {
	for _, pattern := range []string{`/^(a|al)(l|li)?ice$`, `/^(a|al)lice$`, `/^x(l|li)?(.*)$`, `/^(x*|y)z$`} {
		got, err := files{"etc/pg_ident.conf": "m " + pattern + " \\1\nm good bob\n"}.imported("")
		if err != nil {
			t.Fatal(err)
		}
		if text := string(got.HCL); !strings.Contains(text, "LEFT OUT") || !strings.Contains(text, "(T7") || !strings.Contains(text, pattern) || !strings.Contains(text, `"bob"`) {
			t.Errorf("%s becomes\n%s", pattern, text)
		}
	}
}
