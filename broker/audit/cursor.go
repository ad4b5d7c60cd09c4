package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Cursor says how far a sink has come with the streams of a directory.
type Cursor struct {
	// Key is the first line of the directory's audit.vkey, by which a directory is known. A cursor of
	// before it was written has none.
	Key     string              `json:"key,omitempty"`
	Streams map[string]Position `json:"streams"`
}

// A sink's files in the directory: its cursor, and its lock, which is there from its first start on.
const (
	sinkPrefix   = "sink-"
	cursorSuffix = ".cursor"
)

// CursorPath is where a sink's cursor stands.
func CursorPath(dir, sink string) string {
	return filepath.Join(dir, sinkPrefix+sink+cursorSuffix)
}

// LoadCursor reads a sink's cursor in dir. Without one the sink starts at the beginning; one that cannot
// be read, or that is of another directory, is an error, since to start anew would send everything again.
func LoadCursor(dir, sink string) (Cursor, error) {
	path := CursorPath(dir, sink)
	keys, err := keyLines(dir)
	if err != nil {
		return Cursor{}, err
	}
	fresh := Cursor{}
	if len(keys) > 0 {
		fresh.Key = keys[0]
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return Cursor{}, err
	}
	c := Cursor{}
	if err := json.Unmarshal(text, &c); err != nil {
		return Cursor{}, fmt.Errorf("cursor %s: %w; remove it to send everything again", path, err)
	}
	if c.Key != "" && len(keys) > 0 && !slices.Contains(keys, c.Key) {
		return Cursor{}, fmt.Errorf("cursor %s: it belongs to another directory, whose key %s is not in %s; remove it to send everything here",
			path, c.Key, filepath.Join(dir, vkeyFile))
	}
	c.Key = fresh.Key
	return c, nil
}

// keyLines are the public keys of dir as they stand in its audit.vkey, none when it has no such file.
func keyLines(dir string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, vkeyFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return strings.Fields(string(text)), nil
}

// copied reports whether everything in a segment of size bytes is behind the cursor.
func (c *Cursor) copied(stream, base string, size int64) bool {
	at := c.Streams[stream]
	return base < at.File || base == at.File && at.Offset >= size
}

// sinks are the names of those that have been at work in dir, by what they left there.
func sinks(dir string) ([]string, error) {
	var names []string
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		name, ok := strings.CutPrefix(f.Name(), sinkPrefix)
		if base, isCursor := strings.CutSuffix(name, cursorSuffix); ok && isCursor {
			names = append(names, base)
		} else if base, isLock := strings.CutSuffix(name, lockSuffix); ok && isLock {
			names = append(names, base)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
