package trust

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// TestSerialSet compares with a map, over shapes that make the index degenerate too.
func TestSerialSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.SliceOfN(rapid.Byte(), 0, serialLen).Draw(t, "prefix")
		count := rapid.IntRange(0, 4*indexedFrom).Draw(t, "count")
		step := rapid.IntRange(1, 1<<16).Draw(t, "step")
		at := func(i int) serialNumber {
			var n serialNumber
			copy(n[:], prefix)
			tail := big.NewInt(int64(i * step)).Bytes()
			copy(n[serialLen-len(tail):], tail)
			return n
		}
		model := map[serialNumber]bool{}
		var rows []serialNumber
		for i := range count {
			rows = append(rows, at(i*2), at(i*2)) // twice
			model[at(i*2)] = true
		}
		set := newSerialSet(rows)
		if set.len() != len(model) {
			t.Fatalf("%d rows, want %d", set.len(), len(model))
		}
		for i := range 2 * count {
			if set.contains(at(i)) != model[at(i)] {
				t.Fatalf("contains(%x) = %t", at(i), !model[at(i)])
			}
		}
		var lowest, highest serialNumber
		for i := range highest {
			highest[i] = 0xff
		}
		for _, n := range []serialNumber{lowest, highest} {
			if set.contains(n) != model[n] {
				t.Fatalf("contains(%x) = %t", n, !model[n])
			}
		}
	})
}

// TestSerialFrom: content octets of a DER INTEGER.
func TestSerialFrom(t *testing.T) {
	long := make([]byte, serialLen+1)
	long[1] = 0xff
	for _, tt := range []struct {
		name    string
		content []byte
		ok      bool
		last    byte
	}{
		{"one", []byte{1}, true, 1},
		{"leading zero", []byte{0, 0x80}, true, 0x80},
		{"20 octets behind a zero", long, true, 0},
		{"negative", []byte{0x80}, false, 0},
		{"none", nil, false, 0},
		{"21 octets", append([]byte{1}, make([]byte, serialLen)...), false, 0},
	} {
		n, ok := serialFrom(tt.content)
		if ok != tt.ok || ok && n[serialLen-1] != tt.last {
			t.Errorf("%s: %x, %t", tt.name, n, ok)
		}
	}
}
