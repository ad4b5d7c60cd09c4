package audit

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/race"
)

// Each way of tampering is named, with the place it shows.
func TestVerifyNamesTampering(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(c *copyOf) (want []string)
		kept bool // verify against the checkpoints as they were
	}{
		{name: "untouched", do: func(c *copyOf) []string { return nil }, kept: true},
		{name: "edit", do: func(c *copyOf) []string {
			c.edit(412, "select", "delete")
			return []string{c.where(412) + ": changed: seq 412 does not match prev of 413"}
		}},
		{name: "two edits", do: func(c *copyOf) []string {
			c.edit(412, "select", "delete")
			c.edit(2412, "select", "delete")
			return []string{
				c.where(412) + ": changed: seq 412 does not match prev of 413",
				c.where(2412) + ": changed: seq 2412 does not match prev of 2413",
			}
		}},
		{name: "edit, chain redone", do: func(c *copyOf) []string {
			c.edit(412, "select", "delete")
			c.rechain(nil)
			return []string{c.where(1002) + ": changed: root at 1001 differs", "…"}
		}},
		{name: "edit of the last line before a checkpoint", do: func(c *copyOf) []string {
			c.edit(1001, "select", "delete")
			return []string{c.where(1001) + ": changed: seq 1001 does not match prev of 1002"}
		}},
		{name: "reorder", do: func(c *copyOf) []string {
			f, i := c.at(412)
			c.lines[f][i], c.lines[f][i+1] = c.lines[f][i+1], c.lines[f][i]
			return []string{fmt.Sprintf("%s:%d: order: seq 412 after 413", c.files[f], i+2)}
		}},
		{name: "moved far", do: func(c *copyOf) []string {
			f, i := c.at(412)
			l := c.lines[f][i]
			c.lines[f] = slices.Insert(slices.Delete(c.lines[f], i, i+1), i+40, l)
			return []string{fmt.Sprintf("%s:%d: order: seq 412 after 452", c.files[f], i+41)}
		}},
		{name: "deleted lines", do: func(c *copyOf) []string {
			w := c.where(413)
			c.remove(413, 415)
			return []string{w + ": missing: seq 413-415"}
		}},
		{name: "deleted lines, chain redone", do: func(c *copyOf) []string {
			w := c.where(999)
			c.remove(413, 415)
			c.rechain(nil)
			return []string{w + ": missing: 998 lines before seq 999, its checkpoint has 1001", "…"}
		}},
		{name: "deleted file", do: func(c *copyOf) []string {
			_, a, _ := parseSegment(c.files[1])
			_, b, _ := parseSegment(c.files[2])
			c.lines[1] = nil
			return []string{fmt.Sprintf("%s:1: missing: seq %d-%d", c.files[2], a, b-1)}
		}},
		{name: "deleted first file", do: func(c *copyOf) []string {
			_, b, _ := parseSegment(c.files[1])
			c.lines[0] = nil
			return []string{fmt.Sprintf("%s:1: missing: seq 1-%d", c.files[1], b-1)}
		}},
		{name: "inserted copy", do: func(c *copyOf) []string {
			f, i := c.at(412)
			c.lines[f] = slices.Insert(c.lines[f], i, c.lines[f][i])
			return []string{c.where(412) + ": inserted: seq 412 is there twice, this one does not match prev of 413"}
		}},
		{name: "inserted forgery before", do: func(c *copyOf) []string {
			f, i := c.at(412)
			c.lines[f] = slices.Insert(c.lines[f], i, strings.Replace(c.lines[f][i], "select", "delete", 1))
			return []string{fmt.Sprintf("%s:%d: inserted: seq 412 is there twice, this one does not match prev of 413", c.files[f], i+1)}
		}},
		{name: "inserted forgery behind", do: func(c *copyOf) []string {
			f, i := c.at(412)
			c.lines[f] = slices.Insert(c.lines[f], i+1, strings.Replace(c.lines[f][i], "select", "delete", 1))
			return []string{fmt.Sprintf("%s:%d: inserted: seq 412 is there twice, this one does not match prev of 413", c.files[f], i+2)}
		}},
		{name: "inserted, chain redone", do: func(c *copyOf) []string {
			f, i := c.at(412)
			w := c.where(1002)
			c.lines[f] = slices.Insert(c.lines[f], i, c.lines[f][i])
			c.rechain(nil)
			return []string{lineAfter(w) + ": inserted: 1002 lines before seq 1003, its checkpoint has 1001", "…"}
		}},
		{name: "a line that is none", do: func(c *copyOf) []string {
			f, i := c.at(412)
			c.lines[f][i] = "{}"
			return []string{
				fmt.Sprintf("%s:%d: changed: 3 bytes after seq 411 are no record", c.files[f], i+1),
				fmt.Sprintf("%s:%d: missing: seq 412", c.files[f], i+2),
			}
		}},
		{name: "an overlong line", do: func(c *copyOf) []string {
			f, i := c.at(412)
			c.lines[f][i] = strings.Repeat("x", 3*maxLine)
			return []string{
				fmt.Sprintf("%s:%d: changed: %d bytes after seq 411 are no record", c.files[f], i+1, 3*maxLine+1),
				fmt.Sprintf("%s:%d: missing: seq 412", c.files[f], i+2),
			}
		}},
		{name: "swapped segments", do: func(c *copyOf) []string {
			c.lines[0], c.lines[1] = c.lines[1], c.lines[0]
			a, b := int64(1), int64(0)
			_, b, _ = parseSegment(c.files[1])
			n := int64(len(c.lines[0]))
			return []string{
				fmt.Sprintf("%s:1: order: the file is named for seq %d, it starts at %d", c.files[0], a, b),
				fmt.Sprintf("%s:1: order: the file is named for seq %d, it starts at %d", c.files[1], b, a),
				fmt.Sprintf("%s:1: order: seq 1 after %d", c.files[1], b+n-1),
			}
		}},
		{name: "cut tail", kept: true, do: func(c *copyOf) []string {
			last := len(c.files) - 1
			total := totalLines(c)
			n := len(c.lines[last])
			c.lines[last] = c.lines[last][:n-10]
			return []string{fmt.Sprintf("%s:%d: truncated: ends at %d, checkpoint has %d", c.files[last], n-10, total-10, total-1)}
		}},
		{name: "cut files", kept: true, do: func(c *copyOf) []string {
			total, n := totalLines(c), len(c.lines[0])
			want := []string{}
			for _, size := range sizes(c) {
				if size > int64(n) {
					want = append(want, fmt.Sprintf("%s:%d: truncated: ends at %d, checkpoint has %d", c.files[0], n, n, size))
				}
			}
			if want[len(want)-1] != fmt.Sprintf("%s:%d: truncated: ends at %d, checkpoint has %d", c.files[0], n, n, total-1) {
				c.t.Fatal("no checkpoint at the end")
			}
			for i := range c.lines[1:] {
				c.lines[i+1] = nil
			}
			return want
		}},
		{name: "redone with the key", kept: true, do: func(c *copyOf) []string {
			var want []string
			for _, size := range sizes(c) {
				if size >= 412 {
					want = append(want, fmt.Sprintf("%s: fork: root at %d differs from kept checkpoint", c.where(size), size))
				}
			}
			c.edit(412, "select", "delete")
			c.rechain(c.signer())
			return want
		}},
		{name: "redone with another key", do: func(c *copyOf) []string {
			var want []string
			for _, size := range sizes(c) {
				want = append(want, fmt.Sprintf("%s: signature: checkpoint %d", c.where(size+1), size+1))
			}
			c.rechain(otherSigner(c.t))
			return want
		}},
		{name: "replaced checkpoint", do: func(c *copyOf) []string {
			notes := c.notes()
			quoted := func(n string) string { b, _ := json.Marshal(n); return string(b) }
			f, i := c.at(1002)
			old := c.lines[f][i]
			c.lines[f][i] = strings.Replace(old, quoted(notes[1]), quoted(notes[0]), 1)
			if c.lines[f][i] == old {
				c.t.Fatal("the note was not replaced")
			}
			return []string{
				c.where(1002) + ": inserted: 1001 lines before seq 1002, its checkpoint has 0",
				c.where(1002) + ": changed: seq 1002 does not match prev of 1003",
			}
		}},
		{name: "edited note", do: func(c *copyOf) []string {
			c.edit(1002, `\n1001\n`, `\n1000\n`)
			return []string{
				c.where(1002) + ": signature: checkpoint 1002",
				c.where(1002) + ": changed: seq 1002 does not match prev of 1003",
			}
		}},
		{name: "lines after the end", do: func(c *copyOf) []string {
			last := len(c.files) - 1
			n := len(c.lines[last])
			total := totalLines(c)
			sum := sha256.Sum256([]byte(c.lines[last][n-1]))
			text := appendHead(nil, total+1, sum)
			text = append(text, `"time":"2026-11-22T09:14:07.182934Z","node":"gw1","event":"session.close"}`...)
			c.lines[last] = append(c.lines[last], string(text))
			return []string{fmt.Sprintf("%s:%d: inserted: seq %d after the closing checkpoint", c.files[last], n+1, total+1)}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := sample(t)
			var kept []string
			if tt.kept {
				kept = c.notes()
			}
			want := tt.do(c)
			c.write()
			var got []string
			for _, r := range verifyDir(t, c.dir, kept...) {
				for _, f := range r.Findings {
					if f.Kind.Bad() {
						got = append(got, f.String())
					}
				}
			}
			more := len(want) > 0 && want[len(want)-1] == "…"
			if more {
				want = want[:len(want)-1]
				got = got[:min(len(got), len(want))]
			}
			if !slices.Equal(got, want) {
				t.Errorf("found\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
		})
	}
}

// Any change of a closed stream is found, wherever it is and whatever it does.
func TestAnyChangeIsFound(t *testing.T) {
	c := sampleOf(t, 300, 20_000)
	untouched := make([][]string, len(c.lines))
	for i, lines := range c.lines {
		untouched[i] = slices.Clone(lines)
	}
	rnd := mrand.New(mrand.NewPCG(5, 6))
	tries := 400
	if race.Enabled {
		tries = 50
	}
	for try := range tries {
		for i, lines := range untouched {
			c.lines[i] = slices.Clone(lines)
		}
		f := rnd.IntN(len(c.lines))
		i := rnd.IntN(len(c.lines[f]))
		line := c.lines[f][i]
		what, flipped := "", false
		switch rnd.IntN(5) {
		case 0:
			flipped = true
			b := []byte(line)
			at := rnd.IntN(len(b))
			b[at] ^= byte(1 + rnd.IntN(255))
			c.lines[f][i] = string(b)
			what = fmt.Sprintf("byte %d of line %d of file %d became %q", at, i, f, b[at])
		case 1:
			c.lines[f] = slices.Delete(c.lines[f], i, i+1)
			what = fmt.Sprintf("line %d of file %d was deleted", i, f)
		case 2:
			to := rnd.IntN(len(c.lines))
			c.lines[to] = slices.Insert(c.lines[to], rnd.IntN(len(c.lines[to])+1), line)
			what = fmt.Sprintf("line %d of file %d is in file %d too", i, f, to)
		case 3:
			j := (i + 1) % len(c.lines[f])
			c.lines[f][i], c.lines[f][j] = c.lines[f][j], c.lines[f][i]
			what = fmt.Sprintf("lines %d and %d of file %d changed places", i, j, f)
		case 4:
			c.lines[f] = c.lines[f][:i]
			what = fmt.Sprintf("file %d ends before line %d", f, i)
		}
		c.write()
		bad := false
		for _, r := range verifyDir(t, c.dir, c.notes0...) {
			bad = bad || !r.OK()
		}
		// No checkpoint covers the closing one's own line: its time may be another.
		last := f == len(c.files)-1 && i == len(untouched[f])-1
		if !bad && !(flipped && last) {
			t.Fatalf("try %d: %s, and verify finds nothing", try, what)
		}
	}
}

// lineAfter is the place one line further down.
func lineAfter(where string) string {
	cut := strings.LastIndexByte(where, ':')
	var n int
	fmt.Sscan(where[cut+1:], &n)
	return fmt.Sprintf("%s:%d", where[:cut], n+1)
}

func totalLines(c *copyOf) int64 {
	n := 0
	for _, l := range c.lines {
		n += len(l)
	}
	return int64(n)
}

// sizes returns the tree sizes that are signed, ascending.
func sizes(c *copyOf) []int64 {
	var all []int64
	for _, n := range c.notes() {
		t, err := parseTree(n)
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, t.size)
	}
	return all
}
