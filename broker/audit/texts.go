package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"unsafe"
)

// texts remembers long texts that were cleaned, since a client may run a statement that it has prepared many
// times by a short message each: to search a text of 256 KiB for passwords takes longer than to run it, and
// everybody's records wait for that. It belongs to one encoder.
type texts struct {
	known map[textKey]cleanText
	order [keptTexts]textKey // a ring
	next  int
}

// keptTexts are how many are remembered, each of 256 KiB at most, and as much again if it was changed.
const keptTexts = 64

// textKey is a text by the memory it stands in, which the key keeps as it is.
type textKey struct {
	at          *byte
	length      int
	fingerprint bool
}

// text is p.text, remembered.
func (t *texts) text(p privacy, s *Stmt) cleanText {
	if len(s.Text) <= longText {
		return p.text(s)
	}
	key := textKey{unsafe.StringData(s.Text), len(s.Text), s.FingerprintOnly}
	if c, ok := t.known[key]; ok {
		return c
	}
	c := p.text(s)
	if len(c.text) > defaultText {
		sum := sha256.Sum256([]byte(c.text))
		c.sum = hex.EncodeToString(sum[:])
	}
	if t.known == nil {
		t.known = make(map[textKey]cleanText)
	}
	delete(t.known, t.order[t.next])
	t.known[key], t.order[t.next] = c, key
	t.next = (t.next + 1) % keptTexts
	return c
}
