package downstream

import "encoding/binary"

// records follows the records of TLS in a stream of bytes (RFC 8446 section 5.1).
//
// The zero value is a stream that has not begun.
type records struct {
	header [5]byte
	seen   int // bytes of the header that have come
	rest   int // bytes of the record that are still to come
}

// follow takes the next bytes of the stream and returns how many records they have completed.
func (r *records) follow(p []byte) (completed int) {
	for len(p) > 0 {
		if r.rest == 0 {
			n := copy(r.header[r.seen:], p)
			r.seen += n
			p = p[n:]
			if r.seen < len(r.header) {
				break
			}
			r.seen, r.rest = 0, int(binary.BigEndian.Uint16(r.header[3:]))
			if r.rest == 0 {
				completed++
			}
			continue
		}
		n := min(r.rest, len(p))
		p = p[n:]
		if r.rest -= n; r.rest == 0 {
			completed++
		}
	}
	return completed
}

// complete says whether the stream is between two records.
func (r *records) complete() bool { return r.seen == 0 && r.rest == 0 }
