package trust

import (
	"container/list"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"
	"weak"
)

const (
	maxAnswers   = 8192             // certificates whose status is remembered when nobody is logged in with them
	unknownFor   = time.Minute      // how long "unknown" is believed: the CA may have issued it just now
	ocspRetry    = 10 * time.Second // after a failure, before a login asks again
	minOCSPPause = 30 * time.Second // between two background questions about one certificate
	maxFetches   = 64               // questions under way at once to one responder
)

// ocspKey stands for a CertID without its choice of hash: issuer's name and key, and serial (T61).
type ocspKey [sha256.Size]byte

func ocspKeyOf(cert, issuer *x509.Certificate) ocspKey {
	h := sha256.New()
	for _, p := range [][]byte{issuer.RawSubject, issuer.RawSubjectPublicKeyInfo, cert.SerialNumber.Bytes()} {
		h.Write([]byte{byte(len(p) >> 16), byte(len(p) >> 8), byte(len(p))})
		h.Write(p)
	}
	var key ocspKey
	h.Sum(key[:0])
	return key
}

// ocspCache remembers verified answers and asks for missing ones, each question once at a time. It
// outlives snapshots and is safe for concurrent use. What a live session's certificates depend on it
// keeps for as long as the session holds it (Verified.answers), however many others there are: their
// revocation is found by asking again in the background.
type ocspCache struct {
	client *http.Client
	clock  func() time.Time
	slots  responderSlots // one per question under way

	// revoked holds a signal when a certificate turned out to be revoked since it was last read.
	revoked chan struct{}

	mu      sync.Mutex
	answers map[ocspKey]*list.Element           // values are *ocspEntry
	order   *list.List                          // most recent first
	held    map[ocspKey]weak.Pointer[ocspEntry] // no longer among answers, but perhaps a session's
	heldMax int                                 // as many of held, and those that nobody holds are forgotten
}

// ocspEntry is guarded by the cache's mu, but for sub, which is fixed.
type ocspEntry struct {
	sub     subject
	answer  *ocspAnswer   // nil: none yet
	asked   time.Time     // last question
	failure error         // of that question, or nil
	pending chan struct{} // closed when the question under way is answered; nil: none is
}

func newOCSPCache(clock func() time.Time) *ocspCache {
	return &ocspCache{
		client: newOCSPClient(), clock: clock, slots: responderSlots{byHost: map[string]*slots{}},
		revoked: make(chan struct{}, 1), answers: map[ocspKey]*list.Element{}, order: list.New(),
		held: map[ocspKey]weak.Pointer[ocspEntry]{}, heldMax: maxAnswers,
	}
}

// entry returns the entry of sub, made if need be, as the most recent. mu is held.
func (c *ocspCache) entry(sub *subject) *ocspEntry {
	e := c.find(sub.ocsp)
	if e == nil {
		e = &ocspEntry{sub: *sub}
		c.enter(e)
	}
	return e
}

// find returns the entry of that key, as the most recent, or nil. mu is held.
func (c *ocspCache) find(key ocspKey) *ocspEntry {
	if el := c.answers[key]; el != nil {
		c.order.MoveToFront(el)
		return el.Value.(*ocspEntry)
	}
	e := c.held[key].Value()
	if e != nil {
		delete(c.held, key)
		c.enter(e)
	}
	return e
}

// enter makes room for an entry and puts it first. mu is held.
func (c *ocspCache) enter(e *ocspEntry) {
	c.answers[e.sub.ocsp] = c.order.PushFront(e)
	for c.order.Len() > maxAnswers {
		old := c.order.Remove(c.order.Back()).(*ocspEntry)
		delete(c.answers, old.sub.ocsp)
		c.held[old.sub.ocsp] = weak.Make(old)
	}
	if len(c.held) > c.heldMax {
		maps.DeleteFunc(c.held, func(_ ocspKey, p weak.Pointer[ocspEntry]) bool { return p.Value() == nil })
		c.heldMax = max(maxAnswers, 2*len(c.held))
	}
}

// hold returns the entries of those subjects that there are any of.
func (c *ocspCache) hold(subs []subject) (held []*ocspEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range subs {
		if e := c.find(subs[i].ocsp); e != nil {
			held = append(held, e)
		}
	}
	return held
}

// current is the entry's answer if it can be used now. "Revoked" is believed until a newer answer
// says otherwise, also past its end.
func (e *ocspEntry) current(now time.Time) *ocspAnswer {
	a := e.answer
	if a == nil || a.thisUpdate.After(now) {
		return nil
	}
	if a.word == saysRevoked || now.Before(a.until) && (a.word == saysGood || now.Before(e.asked.Add(unknownFor))) {
		return a
	}
	return nil
}

// offer takes a verified answer unless a newer one is known: an old "good" that is replayed never
// replaces a "revoked" (A67).
func (c *ocspCache) offer(sub *subject, a *ocspAnswer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.take(c.entry(sub), a)
}

// take stores an answer and signals when a certificate turns out to be revoked. mu is held.
func (c *ocspCache) take(e *ocspEntry, a *ocspAnswer) {
	old := e.answer
	a = &ocspAnswer{word: a.word, thisUpdate: a.thisUpdate, until: a.until, revokedAt: a.revokedAt} // raw may have 64 KiB
	if old != nil && (old.thisUpdate.After(a.thisUpdate) || old.thisUpdate.Equal(a.thisUpdate) && old.word == saysRevoked) {
		return
	}
	e.answer = a
	if a.word == saysRevoked && (old == nil || old.word != saysRevoked) {
		select {
		case c.revoked <- struct{}{}:
		default: // a signal is waiting already
		}
	}
}

// peek is the usable answer at hand, or nil.
func (c *ocspCache) peek(sub *subject, now time.Time) *ocspAnswer {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.find(sub.ocsp)
	if e == nil {
		return nil
	}
	return e.current(now)
}

// ask returns the usable answer, and fetches it if there is none: one fetch per certificate at a
// time, whose result all waiters share. It waits at most ocspTimeout or until ctx ends; now moves on
// meanwhile, since a responder may date its answer when it is asked.
func (c *ocspCache) ask(ctx context.Context, sub *subject, now time.Time, revoked func(*subject) bool) (*ocspAnswer, error) {
	start := c.clock()
	later := func() time.Time { return now.Add(c.clock().Sub(start)) }
	c.mu.Lock()
	e := c.entry(sub)
	if a := e.current(now); a != nil {
		c.mu.Unlock()
		return a, nil
	}
	if e.failure != nil && start.Before(e.asked.Add(ocspRetry)) {
		defer c.mu.Unlock()
		return nil, e.failure
	}
	pending := e.pending
	if pending == nil {
		e.pending = make(chan struct{})
	}
	c.mu.Unlock()
	if pending == nil {
		// The waiters must not suffer when this client goes away.
		_ = c.fetch(context.WithoutCancel(ctx), e, later, revoked) // e has its error
	} else if err := await(ctx, pending); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return e.outcome(later())
}

// await waits for somebody else's question, which may itself have to wait for its turn: a login does
// not wait for that longer than for its own (T60).
func await(ctx context.Context, pending <-chan struct{}) error {
	ctx, cancel := context.WithTimeoutCause(ctx, ocspTimeout, errOCSPQueue)
	defer cancel()
	select {
	case <-pending:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errOCSPQueue = errors.New("the OCSP question that is under way has not been answered in time")

func (e *ocspEntry) outcome(now time.Time) (*ocspAnswer, error) {
	if a := e.current(now); a != nil {
		return a, nil
	}
	if e.failure != nil {
		return nil, e.failure
	}
	return nil, errors.New("OCSP answer is not current")
}

// fetch asks the responders about e, whose pending the caller has set, and leaves the outcome in e.
func (c *ocspCache) fetch(ctx context.Context, e *ocspEntry, clock func() time.Time, revoked func(*subject) bool) (err error) {
	ctx, cancel := context.WithTimeout(ctx, ocspTimeout)
	defer cancel()
	var a *ocspAnswer
	err = errOCSPPanic
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		e.asked, e.failure = c.clock(), err
		if err == nil {
			c.take(e, a)
		}
		close(e.pending)
		e.pending = nil
	}()
	done, err := c.slots.enter(ctx, firstResponder(&e.sub))
	if err != nil {
		return err
	}
	defer done()
	err = errOCSPPanic
	a, err = fetchOCSP(ctx, c.client, &e.sub, clock, revoked)
	return err
}

var errOCSPPanic = errors.New("panic in OCSP")

// claim sets e's pending for the caller to fetch it, unless somebody else has asked about it by now.
func (c *ocspCache) claim(e *ocspEntry, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !e.due(now) {
		return false
	}
	e.pending = make(chan struct{})
	return true
}

// due lists the entries to refresh, most recent first, then those that only sessions hold. Certificates
// that expired are forgotten.
func (c *ocspCache) due(now time.Time) []*ocspEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*ocspEntry
	for el := c.order.Front(); el != nil; {
		e, next := el.Value.(*ocspEntry), el.Next()
		if now.After(e.sub.cert.NotAfter) {
			c.order.Remove(el)
			delete(c.answers, e.sub.ocsp)
		} else if e.due(now) {
			out = append(out, e)
		}
		el = next
	}
	for key, p := range c.held {
		if e := p.Value(); e == nil || now.After(e.sub.cert.NotAfter) {
			delete(c.held, key)
		} else if e.due(now) {
			out = append(out, e)
		}
	}
	return out
}

// due says that e is to be asked about in the background: past half the life of its answer, or without
// one, and not asked lately. The cache's mu is held.
func (e *ocspEntry) due(now time.Time) bool {
	if e.pending != nil || now.Before(e.asked.Add(minOCSPPause)) || len(e.sub.cert.OCSPServer) == 0 {
		return false
	}
	return e.answer == nil || e.answer.word == saysUnknown || !now.Before(halfLife(e.answer))
}
