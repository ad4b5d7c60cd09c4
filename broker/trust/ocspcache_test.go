package trust

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// TestOCSPSingleFlight: a hundred logins of one certificate ask once, and share the answer (T60).
func TestOCSPSingleFlight(t *testing.T) {
	f := newOCSPFixture(t)
	good := f.about(f.Clients, pki.OCSPShape{})
	const logins = 100
	f.responder.set(func(w http.ResponseWriter, _ *http.Request) { w.Write(good) })
	s := f.load(nil)
	p := peer(t, f.alice)
	var wg sync.WaitGroup
	for range logins {
		wg.Go(func() {
			if _, err := s.Verify(t.Context(), p, nil, time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := f.responder.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

// TestOCSPBackoff: after a failure a login does not wait again at once (T61).
func TestOCSPBackoff(t *testing.T) {
	f := newOCSPFixture(t)
	f.responder.says(pki.OCSPError(3))
	s := f.load(nil)
	now := time.Now()
	s.ocsp.clock = func() time.Time { return now }
	p := peer(t, f.alice)
	verify := func(w want) {
		t.Helper()
		v, err := s.Verify(t.Context(), p, nil, now)
		w.compare(t, v, err)
	}
	verify(no(OCSPUnavailable))
	verify(no(OCSPUnavailable))
	if n := f.responder.asked.Load(); n != 1 {
		t.Errorf("asked %d times within %s, want once", n, ocspRetry)
	}
	f.responder.says(f.about(f.Clients, pki.OCSPShape{}))
	verify(no(OCSPUnavailable))
	now = now.Add(ocspRetry)
	verify(yes)
	f.responder.says(pki.OCSPError(3))
	now = now.Add(time.Hour)
	verify(yes) // the answer is good until its nextUpdate
	now = now.Add(24 * time.Hour)
	verify(no(Expired))
}

// TestOCSPUnknownIsShort: a CA that issued the certificate just now may not know it yet.
func TestOCSPUnknownIsShort(t *testing.T) {
	f := newOCSPFixture(t)
	now := time.Now()
	f.responder.says(f.about(f.Clients, pki.OCSPShape{Status: pki.OCSPUnknown, ThisUpdate: now.Add(-time.Minute)}))
	s := f.load(nil)
	s.ocsp.clock = func() time.Time { return now }
	p := peer(t, f.alice)
	_, err := s.Verify(t.Context(), p, nil, now)
	no(OCSPUnavailable).compare(t, nil, err)
	f.responder.says(f.about(f.Clients, pki.OCSPShape{ThisUpdate: now.Add(-time.Second)}))
	now = now.Add(unknownFor)
	_, err = s.Verify(t.Context(), p, nil, now)
	if err != nil {
		t.Errorf("after %s: %v", unknownFor, err)
	}
}

// verifiedOnline has alice verified by an answer of the responder's that is good for an hour from now on, which
// is also what the watcher's clock reads.
func verifiedOnline(t *testing.T, now *time.Time) (*ocspFixture, *Watcher, *Verified) {
	t.Helper()
	f := newOCSPFixture(t)
	f.responder.says(f.about(f.Clients, pki.OCSPShape{ThisUpdate: *now, NextUpdate: now.Add(time.Hour)}))
	w, err := NewWatcher(WatcherConfig{Trust: f.cfg})
	if err != nil {
		t.Fatal(err)
	}
	s := w.Current()
	s.ocsp.clock = func() time.Time { return *now }
	v, err := s.Verify(t.Context(), peer(t, f.alice), nil, *now)
	yes.compare(t, v, err)
	return f, w, v
}

// TestOCSPRefresh: answers are fetched anew at half their life, those of expired certificates are
// forgotten (T61).
func TestOCSPRefresh(t *testing.T) {
	begin := time.Now().Truncate(time.Second)
	now := begin
	f, w, v := verifiedOnline(t, &now)
	s := w.Current()
	refreshed := func() int64 {
		before := f.responder.asked.Load()
		w.refreshDue(t.Context(), s.ocsp)
		return f.responder.asked.Load() - before
	}
	now = begin.Add(29 * time.Minute)
	if n := refreshed(); n != 0 {
		t.Errorf("asked %d times before half life", n)
	}
	now = begin.Add(30 * time.Minute)
	f.responder.says(f.about(f.Clients, pki.OCSPShape{Status: pki.OCSPRevoked, ThisUpdate: now, NextUpdate: now.Add(time.Hour)}))
	if n := refreshed(); n != 1 {
		t.Errorf("asked %d times at half life, want once", n)
	}
	select {
	case <-s.ocsp.revoked:
	default:
		t.Error("no signal of the revocation")
	}
	_, err := s.Recheck(v, now)
	no(RevokedOCSP).compare(t, nil, err)
	now = f.alice.X509.NotAfter.Add(time.Second)
	if n := refreshed(); n != 0 || len(s.ocsp.answers) != 0 {
		t.Errorf("asked %d times about an expired certificate, %d remembered", n, len(s.ocsp.answers))
	}
}

// TestOCSPIntermediate: an intermediate that names a responder is asked about; one that names none
// is left to the CRLs.
func TestOCSPIntermediate(t *testing.T) {
	f := newOCSPFixture(t)
	sub := f.Intermediate(f.Clients, pki.Shape{CN: "Sub", Ext: []pki.Extension{pki.OCSPServer(f.responder.URL + "/sub")}})
	leaf := f.Issue(sub, pki.Shape{CN: "carol", Ext: []pki.Extension{pki.OCSPServer(f.responder.URL + "/leaf")}})
	answers := map[string][]byte{
		"/leaf": f.about(sub, pki.OCSPShape{Serial: leaf.X509.SerialNumber}),
		"/sub":  f.about(f.Clients, pki.OCSPShape{Serial: sub.X509.SerialNumber, Status: pki.OCSPRevoked}),
	}
	f.responder.set(func(w http.ResponseWriter, r *http.Request) { w.Write(answers[r.URL.Path]) })
	want{"revoked_ocsp", `Certificate "CN=Sub"`}.check(t, f.load(nil), peer(t, leaf), time.Now())
	answers["/sub"] = f.about(f.Clients, pki.OCSPShape{Serial: sub.X509.SerialNumber})
	yes.check(t, f.load(nil), peer(t, leaf), time.Now())

	plain := f.Intermediate(f.Clients, pki.Shape{CN: "Plain"})
	leaf = f.Issue(plain, pki.Shape{CN: "dave", Ext: []pki.Extension{pki.OCSPServer(f.responder.URL + "/leaf")}})
	answers["/leaf"] = f.about(plain, pki.OCSPShape{Serial: leaf.X509.SerialNumber})
	yes.check(t, f.load(nil), peer(t, leaf), time.Now())
}

// TestOCSPWaitsForOthersBriefly: somebody else's question, which may wait for its turn first, holds a login up no longer than one of its own would (T60).
func TestOCSPWaitsForOthersBriefly(t *testing.T) {
	f := newOCSPFixture(t)
	p := peer(t, f.alice)
	sub := subjectsOf([]*x509.Certificate{p[0], peer(t, &f.Clients.Leaf)[0]})[0]
	synctest.Test(t, func(t *testing.T) {
		c := newOCSPCache(time.Now)
		c.entry(&sub).pending = make(chan struct{}) // somebody asks, and is not answered
		began := time.Now()
		if a, err := c.ask(t.Context(), &sub, began, func(*subject) bool { return false }); a != nil || err == nil {
			t.Errorf("got answer %v, error %v", a, err)
		}
		if waited := time.Since(began); waited > ocspTimeout {
			t.Errorf("waited %s, want at most %s", waited, ocspTimeout)
		}
	})
}

// hosts answers for OCSP responders: "hangs" never does, all others refuse, and are counted.
type hosts struct{ asked sync.Map }

func (h *hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "hangs" {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	h.asked.Store(r.URL.Host, time.Now())
	return nil, errors.New("refused")
}

// subjects makes n subjects that name the responder.
func (f *ocspFixture) subjects(responder string, n int) []*subject {
	p := peer(f.t, f.alice)
	list := make([]*subject, n)
	for i := range list {
		leaf := *p[0]
		leaf.SerialNumber = big.NewInt(int64(i + 1))
		leaf.OCSPServer = []string{"http://" + responder + "/"}
		sub := subjectsOf([]*x509.Certificate{&leaf, peer(f.t, &f.Clients.Leaf)[0]})[0]
		sub.ocsp[0] ^= responder[0] // serials are the same for all responders
		list[i] = &sub
	}
	return list
}

// TestOCSPResponderThatHangs holds up no question to another, in the background (T61) or at a login (A70),
// and none about the same certificates once it answers again.
func TestOCSPResponderThatHangs(t *testing.T) {
	f := newOCSPFixture(t)
	slow, other := f.subjects("hangs", 500), f.subjects("other", 1)[0]
	never := func(*subject) bool { return false }
	t.Run("in the background", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, h := newOCSPCache(time.Now), &hosts{}
			c.client = &http.Client{Transport: h}
			for _, sub := range append([]*subject{other}, slow...) { // the most recent is asked about first
				c.entry(sub)
			}
			w := &Watcher{}
			w.current.Store(&Snapshot{ocsp: c})
			began := time.Now()
			var wg sync.WaitGroup
			wg.Go(func() { w.refreshDue(t.Context(), c) })
			time.Sleep(time.Second)
			waiting := 0
			c.mu.Lock()
			for _, sub := range slow {
				if c.entry(sub).pending != nil {
					waiting++
				}
			}
			c.mu.Unlock()
			if waiting > refreshers {
				t.Errorf("a login would wait for the questions about %d certificates, %d are asked", waiting, refreshers)
			}
			wg.Wait()
			if at, ok := h.asked.Load("other"); !ok || at.(time.Time).Sub(began) > 2*ocspTimeout {
				t.Errorf("the other responder was asked at %v, the round began at %v", at, began)
			}
		})
	})
	t.Run("logins", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, h := newOCSPCache(time.Now), &hosts{}
			c.client = &http.Client{Transport: h}
			began := time.Now()
			var wg sync.WaitGroup
			for _, sub := range slow {
				wg.Go(func() { _, _ = c.ask(t.Context(), sub, began, never) })
			}
			synctest.Wait()
			_, _ = c.ask(t.Context(), other, began, never)
			if at, ok := h.asked.Load("other"); !ok || !at.(time.Time).Equal(began) {
				t.Errorf("the other responder was asked at %v, want at once, %v", at, began)
			}
			wg.Wait()
			if len(c.slots.byHost) != 0 {
				t.Errorf("%d responders are held after all was asked", len(c.slots.byHost))
			}
		})
	})
}

// TestOCSPAnswersAreSmall: what is remembered of an answer does not grow with what came with it: a client's
// staple may be padded with certificates up to 64 KiB.
func TestOCSPAnswersAreSmall(t *testing.T) {
	f := newOCSPFixture(t)
	s := f.load(nil)
	v, err := s.Verify(t.Context(), peer(t, f.alice), f.about(f.Clients, pki.OCSPShape{}), time.Now())
	yes.compare(t, v, err)
	for el := s.ocsp.order.Front(); el != nil; el = el.Next() {
		if a := el.Value.(*ocspEntry).answer; a == nil || a.raw != nil {
			t.Errorf("remembered is %+v", a)
		}
	}
}

// TestOCSPOfLiveSessions: what a live session depends on is asked about again however many other
// certificates have come since, so that its revocation ends it before its next login (T61, T65). What
// nobody holds any more is forgotten.
func TestOCSPOfLiveSessions(t *testing.T) {
	begin := time.Now().Truncate(time.Second)
	now := begin
	f, w, v := verifiedOnline(t, &now)
	s := w.Current()
	like := v.entry.chains[0].subjects[0]
	others := func() {
		s.ocsp.mu.Lock()
		defer s.ocsp.mu.Unlock()
		for range maxAnswers + 1 {
			sub := like
			sub.cert = &x509.Certificate{NotAfter: begin.Add(time.Hour)} // names no responder
			rand.Read(sub.ocsp[:])
			s.ocsp.entry(&sub)
		}
	}
	others()
	runtime.GC()
	now = begin.Add(30 * time.Minute)
	f.responder.says(f.about(f.Clients, pki.OCSPShape{Status: pki.OCSPRevoked, ThisUpdate: now, NextUpdate: now.Add(time.Hour)}))
	w.refreshDue(t.Context(), s.ocsp)
	select {
	case <-s.ocsp.revoked:
	default:
		t.Error("no signal of the revocation of a live session's certificate")
	}
	_, err := s.Recheck(v, now)
	no(RevokedOCSP).compare(t, nil, err)

	runtime.KeepAlive(v) // up to here it is held
	v = nil
	others()
	for range 3 {
		runtime.GC()
		s.ocsp.due(now)
	}
	if n := len(s.ocsp.held); n > 0 {
		t.Errorf("%d answers are kept that nobody holds", n)
	}
}
