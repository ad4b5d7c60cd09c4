package sink

import (
	"encoding/json"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/durable"
)

// saveCursor replaces the cursor at path, whole and durable.
func saveCursor(path string, c audit.Cursor) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return durable.Replace(path, append(text, '\n'), 0o600)
}
