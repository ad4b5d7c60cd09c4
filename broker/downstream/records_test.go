package downstream

import (
	"math/rand/v2"
	"testing"
)

// However a stream is cut, its records end where they end.
func TestRecords(t *testing.T) {
	var stream []byte
	ends := map[int]bool{0: true}
	for range 50 {
		n := rand.IntN(3) * rand.IntN(300) // a third of them are empty
		stream = append(stream, 23, 3, 3, byte(n>>8), byte(n))
		stream = append(stream, make([]byte, n)...)
		ends[len(stream)] = true
	}
	var r records
	completed := 0
	for at := 0; at < len(stream); {
		n := 1 + rand.IntN(min(400, len(stream)-at))
		completed += r.follow(stream[at : at+n])
		if at += n; r.complete() != ends[at] {
			t.Fatalf("after %d of %d bytes: complete is %v", at, len(stream), r.complete())
		}
	}
	if completed != 50 {
		t.Errorf("%d records, want 50", completed)
	}
}
