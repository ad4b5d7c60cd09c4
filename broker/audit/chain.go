package audit

import (
	"crypto/sha256"
	"encoding/hex"

	"golang.org/x/mod/sumdb/tlog"
)

// hash is a SHA-256 of a line, or the 64 zeros before the first.
type hash [sha256.Size]byte

func (h hash) appendHex(dst []byte) []byte { return hex.AppendEncode(dst, h[:]) }

func (h hash) String() string { return hex.EncodeToString(h[:]) }

// edge is the right edge of an RFC 6962 tree: the roots of its largest complete subtrees, left to
// right, one per set bit of size. It is all that is needed to add leaves and to take the root.
type edge struct {
	size   int64
	hashes []tlog.Hash // at most 64
}

// add appends a leaf.
func (e *edge) add(leaf tlog.Hash) {
	for n := e.size; n&1 == 1; n >>= 1 {
		last := len(e.hashes) - 1
		leaf = tlog.NodeHash(e.hashes[last], leaf)
		e.hashes = e.hashes[:last]
	}
	e.hashes = append(e.hashes, leaf)
	e.size++
}

// root is the tree's root hash. Of the empty tree it is SHA-256 of nothing, as in RFC 6962.
func (e *edge) root() tlog.Hash {
	if e.size == 0 {
		return tlog.Hash(sha256.Sum256(nil))
	}
	last := len(e.hashes) - 1
	h := e.hashes[last]
	for i := last - 1; i >= 0; i-- {
		h = tlog.NodeHash(e.hashes[i], h)
	}
	return h
}

// chain is where a stream stands: everything the next line depends on.
type chain struct {
	prev hash // of the last line
	edge edge // size is the last line's seq
}

// add takes in the line that was written last, without its LF.
func (c *chain) add(line []byte) {
	c.prev = sha256.Sum256(line)
	c.edge.add(tlog.RecordHash(line))
}

// next is the seq of the next line.
func (c *chain) next() int64 { return c.edge.size + 1 }

// copyFrom makes c a copy of d that shares nothing, in the memory c has.
func (c *chain) copyFrom(d *chain) {
	hashes := append(c.edge.hashes[:0], d.edge.hashes...)
	*c = *d
	c.edge.hashes = hashes
}
