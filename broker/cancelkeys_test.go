package broker

import (
	"bytes"
	"slices"
	"testing"

	"github.com/pgsignet/pgsignet/pgwire"
)

// W8, W71: a cancel key is found by its process id and its whole secret, as long as its session is there, and by
// nothing else; sessions with one process id are told apart.
func TestW71CancelKeys(t *testing.T) {
	keys := newCancelKeys()
	a, b := &session{}, &session{}
	ka, kb := keys.add(a, 4711, pgwire.V32), keys.add(b, 4711, pgwire.V30)
	if len(ka.Secret) != 32 || len(kb.Secret) != 4 || ka.PID != 4711 || kb.PID != 4711 {
		t.Fatalf("secrets of %d and %d bytes, pids %d and %d", len(ka.Secret), len(kb.Secret), ka.PID, kb.PID)
	}
	wrong := func(at int) []byte {
		s := slices.Clone(ka.Secret)
		s[at] ^= 1
		return s
	}
	for _, tt := range []struct {
		name   string
		pid    uint32
		secret []byte
		want   *session
	}{
		{"its own", 4711, ka.Secret, a},
		{"the other's", 4711, kb.Secret, b},
		{"another pid", 4712, ka.Secret, nil},
		{"first byte", 4711, wrong(0), nil},
		{"last byte", 4711, wrong(31), nil},
		{"beginning", 4711, ka.Secret[:4], nil},
		{"longer", 4711, append(slices.Clone(ka.Secret), 0), nil},
		{"none", 4711, nil, nil},
	} {
		if got := keys.find(pgwire.CancelKey{PID: tt.pid, Secret: tt.secret}); got != tt.want {
			t.Errorf("%s: %p, want %p", tt.name, got, tt.want)
		}
	}
	keys.remove(a, 4711)
	if keys.find(ka) != nil || keys.find(kb) != b {
		t.Error("the key of a session that has left is found, or with it the other's is lost")
	}
	keys.remove(b, 4711)
	if keys.find(kb) != nil || len(keys.keys) != 0 {
		t.Error("the last key of a process id stays")
	}
}

// W71: process ids of the broker's own are positive numbers of 31 bits, and secrets differ.
func TestW71OwnProcessIDs(t *testing.T) {
	keys := newCancelKeys()
	var last []byte
	for range 200 { // a bit too many would be set in half of them
		k := keys.add(&session{}, 0, pgwire.V32)
		if int32(k.PID) <= 0 || bytes.Equal(k.Secret, last) || len(keys.keys[k.PID]) != 1 {
			t.Fatalf("pid %d, secret as before: %v, %d sessions of that pid", int32(k.PID), bytes.Equal(k.Secret, last), len(keys.keys[k.PID]))
		}
		last = k.Secret
	}
}
