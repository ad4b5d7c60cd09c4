package audit

// share is what one certificate has in the queue.
type share struct{ records, bytes int }

// parts: the last of so many parts of the queue is for records of sessions, refusals and administrators, and
// for the statements of certificates that have less than a part in it. Whoever has statements run faster than
// they can be written loses his own records before anybody else's.
const parts = 8

// crowds says whether a statement with refs, of size bytes, would take of the last part what is for others.
func (l *Log) crowds(refs *Refs, size int) bool {
	records, bytes := l.cfg.QueueRecords/parts, l.cfg.QueueBytes/parts
	q := &l.queue
	if len(q.entries) < l.cfg.QueueRecords-records && q.bytes+size <= l.cfg.QueueBytes-bytes {
		return false
	}
	if q.shares == nil {
		q.share()
	}
	has := q.shares[refs.CertSHA256]
	return has.records >= records || has.bytes+size > bytes
}

// share counts what each certificate has in the queue, which addStatement then goes on with.
func (q *queue) share() {
	q.shares = make(map[string]share)
	for i := range q.entries {
		if e := &q.entries[i]; e.rec == nil {
			q.shared(q.slots[e.slot].refs, e.weight)
		}
	}
}

func (q *queue) shared(refs *Refs, bytes int) {
	has := q.shares[refs.CertSHA256]
	q.shares[refs.CertSHA256] = share{has.records + 1, has.bytes + bytes}
}
