package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// A file that is no text is one error at the byte that shows it, whatever else is in it, and nothing of
// it is printed: HCL's parser has an error for each byte, with the line.
func TestNotText(t *testing.T) {
	const rule = "map \"m\" {\n  role = \"r\"\n}\n"
	var wide []byte
	for _, u := range utf16.Encode([]rune(rule)) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	for _, tt := range []struct {
		name, src, at string
	}{
		{"UTF-16 with its mark", "\xff\xfe" + string(wide), "line 1"},
		{"UTF-16 without", string(wide), "line 1"},
		{"Latin-1 in a comment", rule + "# M\xfcller\n" + strings.Repeat("\xfc\n", 1000), "line 4"},
		{"NUL", rule + rule + "\x00", "line 7"},
		{"a program", "\x7fELF\x02\x01\x01\x00\x1b[31m" + strings.Repeat("\xd0\xff`", 1000), "line 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "x.hcl")
			if err := os.WriteFile(file, []byte(tt.src), 0o600); err != nil {
				t.Fatal(err)
			}
			_, problems := Load([]string{file})
			got := text(t, problems)
			if n, _ := problems.Counts(); n != 1 || !strings.Contains(got, "Not a text file") || !strings.Contains(got, tt.at) {
				t.Errorf("%d errors, want 1, at %s:\n%.400s", n, tt.at, got)
			}
			if strings.ContainsAny(got, "\x1b\x00") || !utf8.ValidString(got) {
				t.Errorf("prints what is in the file: %q", got)
			}
		})
	}
}

// What is text is left to HCL: other letters, a byte order mark, CRLF.
func TestText(t *testing.T) {
	for _, src := range []string{"", "\ufeffnode = \"gw\"\r\n", "node = \"Jürgen\" # 名 \U0001F511", "node = \"\ufffd\""} {
		if _, diags := Parse([]byte(src), "x.hcl"); diags.HasErrors() {
			t.Errorf("%q: %v", src, diags)
		}
	}
}

// A reload logs its problems in one line: with a place where there is one, and without <nil> where not.
func TestProblemsInOneLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.hcl")
	if err := os.WriteFile(file, []byte("\n\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{file: file + ":2,1-2: Not a text file; ", file + ".absent": "No configuration; stat "} {
		if _, problems := Load([]string{name}); !strings.HasPrefix(problems.Error(), want) {
			t.Errorf("got %q, want %q first", problems.Error(), want)
		}
	}
}
