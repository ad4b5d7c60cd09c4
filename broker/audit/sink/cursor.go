package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pgsignet/pgsignet/broker/audit"
)

// cursor is the file that says how far a sink has come.
type cursor struct {
	Streams map[string]audit.Position `json:"streams"`
}

// loadCursor reads the cursor at path. Without one the sink starts at the beginning; one that cannot be
// read is an error, since to start anew would send everything again.
func loadCursor(path string) (map[string]audit.Position, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var c cursor
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("cursor %s: %w; remove it to send everything again", path, err)
	}
	return c.Streams, nil
}

// saveCursor replaces the cursor at path, whole and durable.
func saveCursor(path string, positions map[string]audit.Position) error {
	text, err := json.Marshal(cursor{positions})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
