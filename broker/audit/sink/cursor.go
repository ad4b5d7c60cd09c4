package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/durable"
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
	return durable.Replace(path, append(text, '\n'), 0o600)
}
