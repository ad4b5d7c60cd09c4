package stamp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTokenIsHMACOfItsClaim(t *testing.T) {
	for _, size := range []int{MinKey, 64, 65, 200} {
		secret := []byte(strings.Repeat("k", size))
		k, err := NewKey(secret)
		if err != nil {
			t.Fatal(err)
		}
		token := k.Token(Claim{PID: 4711, Expires: time.Unix(1790000000, 5), Role: "alice", Identity: "CN=älice,O=a.b"})
		claim := fmt.Sprintf("v1.%s.4711.1790000000.%x.%x", k.ID(), "alice", "CN=älice,O=a.b")
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(claim))
		if want := claim + "." + hex.EncodeToString(mac.Sum(nil)); token != want {
			t.Errorf("key of %d bytes: token %q, want %q", size, token, want)
		}
	}
}

func TestShortKeysAreRefused(t *testing.T) {
	if _, err := NewKey(make([]byte, MinKey-1)); err == nil {
		t.Error("a key of 31 bytes was taken")
	}
}

// The secret shows in nothing but Insert.
func TestKeysDoNotPrint(t *testing.T) {
	k, err := NewKey([]byte(strings.Repeat("s3cret!!", 4)))
	if err != nil {
		t.Fatal(err)
	}
	pad := hex.EncodeToString(k.inner[:8])
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%v %s", k, k), DDL()} {
		if strings.Contains(text, "s3cret") || strings.Contains(text, pad) {
			t.Errorf("prints its secret: %s", text)
		}
	}
	if !strings.Contains(k.Insert(), pad) {
		t.Error("Insert has no key")
	}
}
