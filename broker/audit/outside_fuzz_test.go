package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/dropfs"
)

// smallRecord is a directory with three statements as a log leaves it, and the name of its one segment.
func smallRecord(f *testing.F) (dir, segment string) {
	f.Helper()
	dir = filepath.Join(f.TempDir(), "audit")
	l := openTest(f, Config{Directory: dir})
	for _, text := range []string{"select 1", "select 2", "select 3"} {
		if err := l.Submit(stmtRecord(text)).Err(); err != nil {
			f.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	streams, err := listStreams(dir)
	if err != nil || len(streams) != 1 || len(streams[0].segments) != 1 {
		f.Fatalf("%+v, %v", streams, err)
	}
	return dir, streams[0].segments[0].base()
}

// A cursor file may hold anything: it is refused, or the feed goes on from it without reading a line
// twice, and a cursor that a feed wrote gives nothing that it gave before.
func FuzzCursor(f *testing.F) {
	dir, segment := smallRecord(f)
	stream, _, _ := parseSegment(segment)
	for _, at := range []string{"0", "1", "400", "-1", "1000000", "9223372036854775807", "1e3"} {
		f.Add([]byte(`{"streams":{"` + stream + `":{"file":"` + segment + `","offset":` + at + `}}}`))
	}
	f.Add([]byte(`{"key":"x","streams":{}}`))
	f.Add([]byte(`{"streams":{"` + stream + `":{"file":"zz","offset":1},"../x":{}}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(CursorPath(dir, "x"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := LoadCursor(dir, "x")
		if err != nil {
			return
		}
		feed := NewFeed(dir, c.Streams, false, nil)
		last := int64(0)
		_, err = feed.Read(t.Context(), func(e *Entry) error {
			if e.Seq <= last {
				t.Errorf("line %d behind line %d", e.Seq, last)
			}
			last = e.Seq
			return nil
		})
		if err != nil {
			return
		}
		if n, err := feed.Read(t.Context(), func(*Entry) error { return nil }); n != 0 || err != nil {
			t.Errorf("%d lines again, %v", n, err)
		}
	})
}

// A stream may end in anything when its process was killed, or somebody wrote to it: a log is opened, or
// says which line it does not understand; not a byte is lost, be it put aside, and what it writes is durable.
func FuzzOpen(f *testing.F) {
	from, segment := smallRecord(f)
	whole, err := os.ReadFile(filepath.Join(from, segment))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-10])
	f.Add(whole[:bytes.IndexByte(whole, '\n')])
	f.Add(append(bytes.Clone(whole), "{\"v\":1,\"seq\":9}\n\x00\x00"...))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := filepath.Join(t.TempDir(), "audit")
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		for name, mode := range map[string]os.FileMode{"": 0o700, keyFile: 0o600} {
			if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, segment)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(Config{Directory: dir, Node: "gw1", Files: onDisk{dropfs.New()}}) // a real one would sync
		if err != nil {
			if _, broken := errors.AsType[*BreakError](err); !broken {
				t.Errorf("%q: %v", b, err)
			}
			return
		}
		if err := l.Submit(stmtRecord("select 4")).Err(); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		torn, _ := os.ReadFile(filepath.Join(dir, strings.TrimSuffix(segment, ".ndjson")+".torn"))
		now, err := os.ReadFile(path)
		if err != nil || !bytes.HasSuffix(b, torn) || !bytes.HasPrefix(now, b[:len(b)-len(torn)]) {
			t.Errorf("the stream was %q, is %q, put aside %q, %v", b, now, torn, err)
		}
	})
}

// A file of the record, and what a recovery set aside, may hold anything: verify says something of it or
// nothing, within bounds, and what is not the file that was written never passes for a closed stream.
func FuzzVerify(f *testing.F) {
	from, segment := smallRecord(f)
	whole, err := os.ReadFile(filepath.Join(from, segment))
	if err != nil {
		f.Fatal(err)
	}
	keys, err := LoadKeys(filepath.Join(from, vkeyFile))
	if err != nil {
		f.Fatal(err)
	}
	notes, err := ParseKept(string(whole))
	if err != nil {
		f.Fatal(err)
	}
	last := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	first := bytes.IndexByte(whole, '\n') + 1
	f.Add(whole)
	f.Add(whole[:last])
	f.Add(whole[first:])
	f.Add(append(bytes.Clone(whole), whole...))
	f.Add(bytes.ReplaceAll(whole, []byte(`"seq":2,`), []byte(`"seq":9223372036854775807,`)))
	f.Add(bytes.ReplaceAll(whole, []byte(`"closed":true`), []byte(`"closed":true,"file":"../x","from":9,"torn":"/dev/zero"`)))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, segment)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := Verify(VerifyConfig{Directory: dir, Keys: keys, Kept: notes})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			if len(r.Findings) > maxFindings {
				t.Errorf("%d findings", len(r.Findings))
			}
			if r.OK() && !bytes.HasPrefix(b, whole[:last]) {
				t.Errorf("%q passes: %v", b, r.Findings)
			}
		}
	})
}
