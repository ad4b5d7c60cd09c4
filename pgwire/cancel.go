package pgwire

import (
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgproto3/v2"
)

// Lengths of a cancel secret in bytes: 4 in protocol 3.0, up to 256 in 3.2 (W8).
const (
	minSecret = 4
	maxSecret = 256
)

// CancelKey is what BackendKeyData gives out and CancelRequest brings back. The secret is never
// logged; compare it in constant time.
type CancelKey struct {
	PID    uint32
	Secret []byte
}

// String hides the secret from every formatter.
func (k CancelKey) String() string { return fmt.Sprintf("cancel key of pid %d", k.PID) }

// GoString hides the secret from %#v.
func (k CancelKey) GoString() string { return k.String() }

// cancelKey decodes a CancelRequest. A secret of impossible length is malformed: such a request
// gets no answer and has no effect (W72, A111).
func (f Frame) cancelKey() (CancelKey, error) {
	secret := len(f.Body) - 4
	if secret < minSecret || secret > maxSecret {
		return CancelKey{}, fmt.Errorf("%w: cancel request with %d bytes of key", ErrMalformed, len(f.Body))
	}
	if secret == minSecret {
		return f.cancelKey30()
	}
	return CancelKey{
		PID:    binary.BigEndian.Uint32(f.Body),
		Secret: append([]byte(nil), f.Body[4:]...),
	}, nil
}

func (f Frame) cancelKey30() (CancelKey, error) {
	var m pgproto3.CancelRequest
	if err := f.decodeV2(&m); err != nil {
		return CancelKey{}, err
	}
	return CancelKey{PID: m.ProcessID, Secret: binary.BigEndian.AppendUint32(nil, m.SecretKey)}, nil
}

// AppendCancelRequest appends the packet that cancels what the owner of key is doing.
func AppendCancelRequest(dst []byte, key CancelKey) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(12+len(key.Secret)))
	dst = binary.BigEndian.AppendUint32(dst, cancelCode)
	dst = binary.BigEndian.AppendUint32(dst, key.PID)
	return append(dst, key.Secret...)
}
