package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func TestVerifySaysWhatIsFine(t *testing.T) {
	c := sample(t)
	r := verifyDir(t, c.dir, c.notes()...)
	if len(r) != 1 || len(r[0].Findings) != 0 {
		t.Fatalf("findings %v, want none", r[0].Findings)
	}
	total := totalLines(c)
	want := fmt.Sprintf("%s: ok 1-%d, %d files, %d checkpoints, signed to %d", r[0].Name, total, len(c.files), len(c.notes()), total-1)
	if got := r[0].String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVerifyOpenAndTorn(t *testing.T) {
	c := sample(t)
	last := len(c.files) - 1
	n := len(c.lines[last])
	c.lines[last] = c.lines[last][:n-1]
	c.write()
	path := filepath.Join(c.dir, c.files[last])
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	if err := os.WriteFile(path, append(b, bytes.Repeat([]byte("x"), 117)...), 0o600); err != nil {
		t.Fatal(err)
	}
	total := totalLines(c)
	want := []string{
		fmt.Sprintf("%s:%d: open: lines after %d cannot be excluded", c.files[last], n-1, total),
		fmt.Sprintf("%s:%d: torn: 117 bytes after %d", c.files[last], n, total),
	}
	if got := findings(verifyDir(t, c.dir)); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}

	// The next process to start closes it.
	openTest(t, Config{Directory: c.dir}).Close()
	stream, _, _ := parseSegment(c.files[0])
	want = []string{fmt.Sprintf("%s:1: recovered: 117 bytes after %d set aside in %s", segmentName(stream, total+1), total, strings.Replace(c.files[last], segmentSuffix, tornSuffix, 1))}
	if got := findings(verifyDir(t, c.dir)); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}

	// What was set aside is another file now, and such as has no end.
	torn := filepath.Join(c.dir, strings.Replace(c.files[last], segmentSuffix, tornSuffix, 1))
	for what, put := range map[string]func() error{
		"a pipe": func() error { return syscall.Mkfifo(torn, 0o600) },
		"a link": func() error { return os.Symlink("/dev/zero", torn) },
		"longer": func() error { return os.WriteFile(torn, make([]byte, 118), 0o600) },
		"other":  func() error { return os.WriteFile(torn, make([]byte, 117), 0o600) },
	} {
		if err := errors.Join(os.Remove(torn), put()); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(findings(verifyDir(t, c.dir)), "\n"); !strings.Contains(got, "changed: "+filepath.Base(torn)+" is not what was set aside") {
			t.Errorf("%s: found %s", what, got)
		}
	}
}

func findings(all []*StreamReport) []string {
	var got []string
	for _, r := range all {
		for _, f := range r.Findings {
			got = append(got, f.String())
		}
	}
	return got
}

// A stream that was changed before its last checkpoint is no crash's doing: the broker does not start.
func TestOpenRefusesABrokenStream(t *testing.T) {
	c := sample(t)
	last := len(c.files) - 1
	_, first, _ := parseSegment(c.files[last])
	c.lines[last] = c.lines[last][:len(c.lines[last])-1] // no closing checkpoint
	var behind int64
	for _, size := range sizes(c) {
		behind = max(behind, size)
	}
	if behind <= first+2 {
		t.Fatal("the last file has no checkpoint in its middle")
	}
	c.edit(first+1, "select", "delete")
	c.write()
	_, err := Open(Config{Directory: c.dir, Node: "gw1"})
	if err == nil || !strings.Contains(err.Error(), c.files[last]) {
		t.Fatalf("Open: %v, want an error that names %s", err, c.files[last])
	}
}

// relabelled is a sample cut off behind a checkpoint in the middle of its last file, which then says what
// `says` makes of it: without the key, by somebody who wants the lines behind it forgotten.
func relabelled(t *testing.T, says func(line string) string) (c *copyOf, where string) {
	t.Helper()
	c = sample(t)
	last := len(c.files) - 1
	for i := 1; i < len(c.lines[last])-1; i++ {
		if h, _ := parseHead([]byte(c.lines[last][i])); string(h.event) != string(checkpointEvent) {
			continue
		}
		changed := says(c.lines[last][i])
		if changed == c.lines[last][i] {
			t.Fatalf("unchanged: %s", changed)
		}
		c.lines[last] = append(c.lines[last][:i], changed)
		c.write()
		return c, fmt.Sprintf("%s:%d", c.files[last], i+1)
	}
	t.Fatal("no checkpoint in the middle")
	return nil, ""
}

// What a checkpoint says beyond its tree is signed: a stream cut off behind one cannot be passed off as
// closed, or as set aside by a recovery, and the broker does not start over it.
func TestClosingIsSigned(t *testing.T) {
	for _, tt := range []struct{ name, cause, more string }{
		{"closed", "shutdown", `,"closed":true`},
		{"set aside", "recovery", `,"closed":true,"file":"x","from":1,"bytes":9,"torn":"x.torn","sha256":"00"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, where := relabelled(t, func(line string) string {
				line = strings.Replace(line, `"cause":"interval"`, `"cause":"`+tt.cause+`"`, 1)
				return strings.Replace(line, `,"note":`, tt.more+`,"note":`, 1)
			})
			if got := findings(verifyDir(t, c.dir)); !slices.ContainsFunc(got, func(s string) bool {
				return strings.HasPrefix(s, where+": signature: checkpoint ")
			}) {
				t.Errorf("found %q, want the signature at %s", got, where)
			}
			var broken *BreakError
			if l, err := Open(Config{Directory: c.dir, Node: "gw1"}); !errors.As(err, &broken) {
				t.Errorf("Open: %v, want a BreakError", err)
				l.Close()
			}
		})
	}
}

// A closing checkpoint whose signature does not hold ends nothing for a broker that starts.
func TestForgedClosingIsNotTrusted(t *testing.T) {
	c := sample(t)
	last := len(c.files) - 1
	n := len(c.lines[last]) - 1
	c.lines[last][n] = strings.Replace(c.lines[last][n], "\\n\\n— ", "\\nforged\\n\\n— ", 1)
	c.write()
	var broken *BreakError
	if l, err := Open(Config{Directory: c.dir, Node: "gw1"}); !errors.As(err, &broken) {
		t.Errorf("Open: %v, want a BreakError", err)
		l.Close()
	}
}

// The edge kept by the writer yields the roots that tlog computes from all leaves.
func TestEdgeIsATree(t *testing.T) {
	var (
		e      edge
		hashes []tlog.Hash
	)
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, hashes[i])
		}
		return out, nil
	})
	for n := range int64(300) {
		if want, err := tlog.TreeHash(n, read); err != nil || n > 0 && e.root() != want {
			t.Fatalf("root at %d: %s, want %s (%v)", n, e.root(), want, err)
		}
		data := []byte(fmt.Sprint("leaf ", n))
		stored, err := tlog.StoredHashes(n, data, read)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, stored...)
		e.add(tlog.RecordHash(data))
	}
}
