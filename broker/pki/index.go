package pki

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"time"

	"github.com/pgsignet/pgsignet/broker/durable"
)

// index is NAME.json: what the CA issued and revoked, and the number of its last CRL.
type index struct {
	CRLNumber    int64   `json:"crl_number"`
	Certificates []entry `json:"certificates"`
}

// entry is one issued certificate.
type entry struct {
	Serial    string    `json:"serial"` // lower-case hex
	Name      string    `json:"name"`   // of its files
	Subject   string    `json:"subject"`
	NotAfter  time.Time `json:"not_after"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	Reason    string    `json:"reason,omitempty"` // as RFC 5280 spells it
}

func (ca *CA) readIndex() (*index, error) {
	data, err := os.ReadFile(ca.indexFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist: without it nobody knows what CA %q issued, and its CRL cannot be renewed",
			ca.indexFile(), ca.name)
	} else if err != nil {
		return nil, err
	}
	idx := new(index)
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(idx); err != nil {
		return nil, fmt.Errorf("%s: %w", ca.indexFile(), err)
	}
	for _, e := range idx.Certificates {
		if _, err := e.serial(); err != nil {
			return nil, fmt.Errorf("%s: %w", ca.indexFile(), err)
		}
	}
	return idx, nil
}

func (ca *CA) writeIndex(idx *index) error {
	data, err := json.MarshalIndent(idx, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(ca.indexFile(), append(data, '\n'), 0o644)
}

// find returns the entry with that serial, nil if the CA issued none.
func (idx *index) find(serial string) *entry {
	for i := range idx.Certificates {
		if idx.Certificates[i].Serial == serial {
			return &idx.Certificates[i]
		}
	}
	return nil
}

func (e *entry) serial() (*big.Int, error) {
	n, ok := new(big.Int).SetString(e.Serial, 16)
	if !ok || n.Sign() <= 0 {
		return nil, fmt.Errorf("serial %q: is no positive hexadecimal number", e.Serial)
	}
	return n, nil
}
