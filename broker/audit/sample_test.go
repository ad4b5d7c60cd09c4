package audit

import (
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// copyOf is a closed stream whose lines a test may change.
type copyOf struct {
	t     *testing.T
	dir   string
	files []string   // base names
	lines [][]string // by file, without LF

	notes0 []string // of the checkpoints, before any change
}

// sample is a closed stream of four files with a checkpoint in the middle of each.
func sample(t *testing.T) *copyOf {
	t.Helper()
	return sampleOf(t, 5000, 400_000)
}

// written holds the samples made so far: each test gets a copy.
var written = map[int]fs.FS{}

// sampleOf is a closed stream of n statements in files of size bytes.
func sampleOf(t *testing.T, n int, size int64) *copyOf {
	t.Helper()
	if written[n] == nil {
		written[n] = writeSample(t, n, size)
	}
	c := &copyOf{t: t, dir: filepath.Join(t.TempDir(), "audit")}
	if err := os.CopyFS(c.dir, written[n]); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, keyFile: 0o600} {
		if err := os.Chmod(filepath.Join(c.dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	c.read()
	c.notes0 = c.notes()
	if len(c.files) < 3 {
		t.Fatalf("sample has %d files, want 3", len(c.files))
	}
	return c
}

// writeSample reads a directory that a log wrote into memory.
func writeSample(t *testing.T, n int, size int64) fs.FS {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "audit")
	l := openTest(t, Config{Directory: dir, SegmentSize: size})
	for i := range n {
		r := stmtRecord(fmt.Sprintf("select %d", i))
		err := error(nil)
		if i%100 == 99 { // durable, so that it is known which line brings a checkpoint
			err = l.Submit(r).Err()
		} else {
			err = l.Append(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := fstest.MapFS{}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = &fstest.MapFile{Data: text, Mode: 0o600}
	}
	return all
}

func (c *copyOf) read() {
	paths, _ := filepath.Glob(filepath.Join(c.dir, "*"+segmentSuffix))
	c.files, c.lines = nil, nil
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			c.t.Fatal(err)
		}
		c.files = append(c.files, filepath.Base(p))
		c.lines = append(c.lines, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n"))
	}
}

// write puts the changed lines back.
func (c *copyOf) write() {
	for i, name := range c.files {
		path := filepath.Join(c.dir, name)
		os.Remove(path)
		if c.lines[i] == nil {
			continue
		}
		if err := os.WriteFile(path, []byte(strings.Join(c.lines[i], "\n")+"\n"), 0o400); err != nil {
			c.t.Fatal(err)
		}
	}
}

// at finds the file and index of seq.
func (c *copyOf) at(seq int64) (int, int) {
	for f, lines := range c.lines {
		for i, l := range lines {
			if strings.HasPrefix(l, fmt.Sprintf(`{"v":1,"seq":%d,`, seq)) {
				return f, i
			}
		}
	}
	c.t.Fatalf("no seq %d", seq)
	return 0, 0
}

// where is FILE:LINE of seq in the untouched sample.
func (c *copyOf) where(seq int64) string {
	f, i := c.at(seq)
	return fmt.Sprintf("%s:%d", c.files[f], i+1)
}

// edit replaces old by new in line seq.
func (c *copyOf) edit(seq int64, old, new string) {
	f, i := c.at(seq)
	if !strings.Contains(c.lines[f][i], old) {
		c.t.Fatalf("line %d has no %q: %s", seq, old, c.lines[f][i])
	}
	c.lines[f][i] = strings.Replace(c.lines[f][i], old, new, 1)
}

func (c *copyOf) remove(from, to int64) {
	for seq := from; seq <= to; seq++ {
		f, i := c.at(seq)
		c.lines[f] = slices.Delete(c.lines[f], i, i+1)
	}
}

// rechain rewrites seq and prev of every line from the first one on, as somebody would without the key;
// with a signer the checkpoints too.
func (c *copyOf) rechain(signer note.Signer) {
	var ch chain
	for f, lines := range c.lines {
		for i, l := range lines {
			h, ok := parseHead([]byte(l))
			if !ok {
				c.t.Fatalf("not a line: %s", l)
			}
			if signer != nil && string(h.event) == "checkpoint" {
				l = c.resign(l, &ch, signer)
			}
			body := l[strings.Index(l, `"time"`):]
			text := append(appendHead(nil, ch.next(), ch.prev), body...)
			c.lines[f][i] = string(text)
			ch.add(text)
		}
	}
}

func (c *copyOf) resign(l string, ch *chain, signer note.Signer) string {
	mark, err := readCheckpoint([]byte(l))
	if err != nil {
		c.t.Fatal(err)
	}
	stream, _, _ := parseSegment(c.files[0])
	mark.size = ch.edge.size
	if mark.edge != nil {
		mark.edge = ch.edge.hashes
	}
	if mark.note, err = signTree(stream, mark.size, ch.edge.root(), mark.claims(), signer); err != nil {
		c.t.Fatal(err)
	}
	var out line
	return "{" + string(checkpointBody(&out, time.Unix(0, 0), "gw1", &mark))
}

// notes returns the notes of all checkpoints.
func (c *copyOf) notes() []string {
	var all []string
	for _, lines := range c.lines {
		for _, l := range lines {
			if h, _ := parseHead([]byte(l)); string(h.event) == "checkpoint" {
				mark, err := readCheckpoint([]byte(l))
				if err != nil {
					c.t.Fatal(err)
				}
				all = append(all, mark.note)
			}
		}
	}
	return all
}

func (c *copyOf) signer() note.Signer {
	s, err := loadSigner(filepath.Join(c.dir, keyFile), c.dir, "gw1")
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func otherSigner(t *testing.T) note.Signer {
	skey, _, err := note.GenerateKey(rand.Reader, "pgsignet-audit/gw1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
