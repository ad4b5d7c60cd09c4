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

// newSerialSet sorts and takes the rows over. Large sets are first dealt into their buckets, so that
// random serials cost a few comparisons each.
func newSerialSet(rows []serialNumber) serialSet {
	if len(rows) < indexedFrom {
		slices.SortFunc(rows, compareSerials)
		return serialSet{rows: slices.Compact(rows)}
	}
	set := serialSet{skip: commonPrefix(rows)}
	if !slices.IsSortedFunc(rows, compareSerials) {
		rows = set.deal(rows)
	}
	set.rows = slices.Compact(rows)
	set.count(set.rows)
	return set
}

func compareSerials(a, b serialNumber) int { return bytes.Compare(a[:], b[:]) }

// commonPrefix is the number of leading bytes that all rows share, at most serialLen - 2.
func commonPrefix(rows []serialNumber) int {
	skip := serialLen - 2
	for i := range rows {
		for j := range skip {
			if rows[i][j] != rows[0][j] {
				skip = j
				break
			}
		}
	}
	return skip
}

// count makes the index: where each bucket of rows begins.
func (s *serialSet) count(rows []serialNumber) {
	s.index = make([]uint32, 1<<16+1)
	for i := range rows {
		s.index[s.bucket(&rows[i])+1]++
	}
	for b := 1; b < len(s.index); b++ {
		s.index[b] += s.index[b-1]
	}
}

// deal returns the rows in order: by bucket, then sorted within each.
func (s *serialSet) deal(rows []serialNumber) []serialNumber {
	s.count(rows)
	next := slices.Clone(s.index)
	sorted := make([]serialNumber, len(rows))
	for i := range rows {
		b := s.bucket(&rows[i])
		sorted[next[b]] = rows[i]
		next[b]++
	}
	for b := range len(s.index) - 1 {
		slices.SortFunc(sorted[s.index[b]:s.index[b+1]], compareSerials)
	}
	return sorted
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
