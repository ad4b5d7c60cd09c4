package relay

// ring is a queue of tokens that keeps its memory.
type ring struct {
	buf  []token
	at   int // index of the head
	size int
}

func (r *ring) empty() bool { return r.size == 0 }

func (r *ring) head() (token, bool) {
	if r.size == 0 {
		return token{}, false
	}
	return r.buf[r.at], true
}

func (r *ring) push(t token) {
	if r.size == len(r.buf) {
		r.grow()
	}
	r.buf[(r.at+r.size)%len(r.buf)] = t
	r.size++
}

// last is the token pushed last, which is still there.
func (r *ring) last() *token { return &r.buf[(r.at+r.size-1)%len(r.buf)] }

func (r *ring) grow() {
	next := make([]token, max(8, 2*len(r.buf)))
	for i := range r.size {
		next[i] = r.buf[(r.at+i)%len(r.buf)]
	}
	r.buf, r.at = next, 0
}

func (r *ring) pop() {
	r.buf[r.at] = token{}
	r.at = (r.at + 1) % len(r.buf)
	r.size--
}

// removeSyncs takes out the client's Syncs with after < seq <= limit and returns how many.
func (r *ring) removeSyncs(after, limit uint64) int {
	kept, removed := 0, 0
	for i := range r.size {
		t := r.buf[(r.at+i)%len(r.buf)]
		if t.kind == kindSync && t.seq > after && t.seq <= limit {
			removed++
			continue
		}
		r.buf[(r.at+kept)%len(r.buf)] = t
		kept++
	}
	for i := kept; i < r.size; i++ {
		r.buf[(r.at+i)%len(r.buf)] = token{}
	}
	r.size = kept
	return removed
}
