package trust

import (
	"bytes"
	"slices"
	"sort"
)

// serialLen is the longest serial number a certificate may have, in octets (T41).
const serialLen = 20

// serialNumber is a positive serial, big-endian, padded with zeros in front.
type serialNumber [serialLen]byte

// serialFrom takes the content octets of a DER INTEGER. ok is false for what no accepted
// certificate can have: a negative number, or one longer than serialLen.
func serialFrom(content []byte) (n serialNumber, ok bool) {
	if len(content) == 0 || content[0]&0x80 != 0 {
		return n, false
	}
	content = bytes.TrimLeft(content, "\x00")
	if len(content) > serialLen {
		return n, false
	}
	copy(n[serialLen-len(content):], content)
	return n, true
}

// serialSet is a sorted set of serial numbers: 20 bytes each, and an index of 256 KiB.
type serialSet struct {
	rows []serialNumber
	// A row's two bytes from skip on are its bucket; all rows are equal before skip. Bucket b is
	// rows[index[b]:index[b+1]].
	skip  int
	index []uint32
}

// indexedFrom is the number of rows from which an index pays.
const indexedFrom = 1 << 10

// newSerialSet takes the rows over.
func newSerialSet(rows []serialNumber) serialSet {
	order := func(a, b serialNumber) int { return bytes.Compare(a[:], b[:]) }
	if !slices.IsSortedFunc(rows, order) {
		slices.SortFunc(rows, order)
	}
	set := serialSet{rows: slices.Compact(rows)}
	if len(set.rows) < indexedFrom {
		return set
	}
	first, last := set.rows[0], set.rows[len(set.rows)-1]
	for set.skip < serialLen-2 && first[set.skip] == last[set.skip] {
		set.skip++
	}
	set.index = make([]uint32, 1<<16+1)
	for i := range set.rows {
		set.index[set.bucket(&set.rows[i])+1]++
	}
	for b := 1; b < len(set.index); b++ {
		set.index[b] += set.index[b-1]
	}
	return set
}

func (s *serialSet) bucket(n *serialNumber) int { return int(n[s.skip])<<8 | int(n[s.skip+1]) }

// contains is a binary search within one bucket.
func (s *serialSet) contains(n serialNumber) bool {
	lo, hi := 0, len(s.rows)
	if s.index != nil {
		if !bytes.Equal(n[:s.skip], s.rows[0][:s.skip]) {
			return false
		}
		b := s.bucket(&n)
		lo, hi = int(s.index[b]), int(s.index[b+1])
	}
	i := lo + sort.Search(hi-lo, func(i int) bool { return bytes.Compare(s.rows[lo+i][:], n[:]) >= 0 })
	return i < hi && s.rows[i] == n
}

func (s *serialSet) len() int { return len(s.rows) }
