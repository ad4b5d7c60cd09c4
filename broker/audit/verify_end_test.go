package audit

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// No checkpoint signs the closing line, so that what it says beside its note is held against its tree.
func TestClosingLineFitsItsTree(t *testing.T) {
	for _, tt := range []struct{ name, from, to string }{
		{"size", `"checkpoint":{"cause":"shutdown","size":`, `"checkpoint":{"cause":"shutdown","size":1`},
		{"node", `"node":"gw1"`, `"node":"gw2"`},
		{"cause", `"cause":"shutdown"`, `"cause":"recovery"`},
		{"no cause", `"cause":"shutdown"`, `"cause":"rotate"`},
		{"time", `"time":"2`, `"time":"x2`},
		{"edge", `"note":`, `"edge":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],"note":`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := sampleOf(t, 300, 20_000)
			total := totalLines(c)
			c.edit(total, tt.from, tt.to)
			c.write()
			want := fmt.Sprintf("%s: signature: checkpoint %d", c.where(total), total)
			if got := findings(verifyDir(t, c.dir)); !slices.Contains(got, want) {
				t.Errorf("found %q, want %q", got, want)
			}
		})
	}
}

// A kept checkpoint that closed a stream says where it ends: nothing can stand in its closing line's place,
// or behind it, or be left of it.
func TestKeptClosingCheckpoint(t *testing.T) {
	more := func(c *copyOf, n int) {
		last := len(c.lines) - 1
		for range n {
			lines := c.lines[last]
			text := appendHead(nil, totalLines(c)+1, sha256.Sum256([]byte(lines[len(lines)-1])))
			text = append(text, `"time":"2026-11-22T09:14:07.182934Z","node":"gw1","event":"session.close"}`...)
			c.lines[last] = append(lines, string(text))
		}
	}
	for _, tt := range []struct {
		name    string
		instead int // lines in the place of the closing one
		want    string
	}{
		{"cut", 0, "truncated: ends at %d, checkpoint %d closed it"},
		{"replaced", 1, "changed: seq %d is not the kept checkpoint that closed it"},
		{"replaced and gone on", 2, "inserted: ends at %d, checkpoint %d closed it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := sampleOf(t, 300, 20_000)
			total, last := totalLines(c), len(c.lines)-1
			c.lines[last] = c.lines[last][:len(c.lines[last])-1]
			more(c, tt.instead)
			c.write()
			end := totalLines(c)
			want := strings.ReplaceAll(fmt.Sprintf(strings.Replace(tt.want, "checkpoint %d", "checkpoint TOTAL", 1), end), "TOTAL", fmt.Sprint(total))
			want = fmt.Sprintf("%s: %s", c.where(end), want)
			if got := findings(verifyDir(t, c.dir, c.notes0...)); !slices.Contains(got, want) {
				t.Errorf("found %q, want %q", got, want)
			}
			for _, f := range findings(verifyDir(t, c.dir)) {
				if !strings.Contains(f, ": open: ") {
					t.Errorf("without the checkpoint nobody can know: %s", f)
				}
			}
		})
	}
}

// What is put back where a recovery cut a file off is found, and a file without a record has a name.
func TestEndsOfFiles(t *testing.T) {
	c := sampleOf(t, 300, 20_000)
	last := len(c.lines) - 1
	c.lines[last] = c.lines[last][:len(c.lines[last])-1]
	c.write()
	path := filepath.Join(c.dir, c.files[last])
	add := func(text string) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.Remove(path)
		}
		if err == nil {
			err = os.WriteFile(path, append(b, text...), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add("half a li")
	openTest(t, Config{Directory: c.dir}).Close()
	wantClean(t, c.dir)
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	add("half a line\n")
	want := fmt.Sprintf("%s: inserted: 12 bytes behind byte %d, where it was cut off", c.files[last], st.Size())
	if got := findings(verifyDir(t, c.dir)); !slices.Contains(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}

	for i, name := range c.files {
		if err := os.Remove(filepath.Join(c.dir, name)); err != nil {
			t.Fatal(err)
		}
		if i == last {
			if err := os.WriteFile(filepath.Join(c.dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, r := range verifyDir(t, c.dir, c.notes0...) {
		for _, f := range r.Findings {
			if f.File == "" {
				t.Errorf("no file: %s", f)
			}
		}
	}
}

// Whoever leaves out every other line, and puts them back from the end, gets no more memory or time than
// others, and what is missing stays so.
func TestGapsAreBounded(t *testing.T) {
	w := &walk{report: &StreamReport{}, run: &verification{}}
	line := func(seq int64) {
		text := append(appendHead(nil, seq, hash{}), `"time":"2026-11-22T09:14:07.182934Z","node":"gw1","event":"x"}`...)
		h, ok := parseHead(text)
		if !ok {
			t.Fatalf("%s", text)
		}
		w.line(h, rawLine{text: text, no: seq + 1})
	}
	const lines = 3 * maxFindings
	for i := range int64(lines) {
		line(2*i + 2)
	}
	for i := int64(lines) - 1; i >= 0; i-- {
		line(2*i + 1)
	}
	w.missing(nil)
	if len(w.gaps) > maxFindings || len(w.report.Findings) > maxFindings || w.report.OK() {
		t.Errorf("%d gaps, %d findings, ok %v", len(w.gaps), len(w.report.Findings), w.report.OK())
	}
	w = &walk{report: &StreamReport{}, run: &verification{}}
	line(1 << 40)
	for i := range int64(lines) {
		line(2*i + 2)
	}
	if len(w.gaps) > maxFindings || w.report.OK() {
		t.Errorf("%d gaps of a head, ok %v", len(w.gaps), w.report.OK())
	}
}
