package trust

import (
	"context"
	"crypto/tls"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/poll"
	"go.uber.org/goleak"
)

// watched is a Watcher that runs, with its changes.
type watched struct {
	*Watcher
	changes chan Change
}

// watch starts a Watcher; the test's end stops it and looks for what it left behind.
func (f *fixture) watch(every time.Duration) *watched {
	f.t.Helper()
	w := &watched{changes: make(chan Change, 100)}
	ignore := goleak.IgnoreCurrent()
	var err error
	w.Watcher, err = NewWatcher(WatcherConfig{
		Trust: f.cfg, Poll: every, Settle: 20 * time.Millisecond, OnChange: func(c Change) { w.changes <- c },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("Run: %v", err)
		}
		if err := poll.Gone(ignore); err != nil {
			f.t.Error(err)
		}
	})
	return w
}

// next waits for a change.
func (w *watched) next(t *testing.T) Change {
	t.Helper()
	select {
	case c := <-w.changes:
		return c
	case <-time.After(time.Minute):
		t.Fatal("no change after a minute")
		return Change{}
	}
}

// until skips changes until one fits.
func (w *watched) until(t *testing.T, fits func(Change) bool) Change {
	t.Helper()
	for {
		if c := w.next(t); fits(c) {
			return c
		}
	}
}

func loaded(c Change) bool { return c.New != nil }

const byEvent = time.Hour // a poll interval that never comes in a test

// TestWatchCRL: a new list is in force by an event, and sessions can be decided again (T58).
func TestWatchCRL(t *testing.T) {
	f := newCRLFixture(t)
	path := f.crl(f.Clients, "a.crl", pki.CRLShape{})
	f.cfg.CRL = []string{path}
	w := f.watch(byEvent)
	live := yes.check(t, w.Current(), peer(t, f.alice), time.Now())
	list := revoke(f.alice)
	list.Number = big.NewInt(2)
	f.crl(f.Clients, "a.crl", list)
	c := w.until(t, loaded)
	if c.Cause != CauseFile || c.New != w.Current() || c.Old == c.New {
		t.Errorf("change %+v", c)
	}
	no(RevokedCRL).check(t, w.Current(), peer(t, f.alice), time.Now())
	_, err := w.Current().Recheck(live, time.Now())
	no(RevokedCRL).compare(t, nil, err)
}

// TestHalfPairHoldsUpNoCRL: a certificate whose key never comes, and one that has expired, keep what was good
// of the pair in force (T79), and a certificate that is revoked meanwhile is revoked all the same.
func TestHalfPairHoldsUpNoCRL(t *testing.T) {
	for name, own := range map[string]pki.Shape{
		"half a pair": {ServerAuth: true}, "expired": {ServerAuth: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(-time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			f := newCRLFixture(t)
			f.cfg.CRL = []string{f.crl(f.Clients, "a.crl", pki.CRLShape{})}
			w := f.watch(20 * time.Millisecond)
			served := w.Current().server.Leaf
			leaf := f.Issue(f.Servers, own)
			if name == "expired" {
				f.WriteLeaf(leaf, "server")
			} else {
				f.write("server.crt", leaf.PEM())
			}
			w.until(t, func(c Change) bool { return c.Err != nil })
			list := revoke(f.alice)
			list.Number = big.NewInt(2)
			f.crl(f.Clients, "a.crl", list)
			if c := w.until(t, loaded); c.New != w.Current() || !c.New.server.Leaf.Equal(served) {
				t.Errorf("in force is %v, with the certificate %v", c.New, c.New.server.Leaf.Subject)
			}
			no(RevokedCRL).check(t, w.Current(), peer(t, f.alice), time.Now())
			if w.until(t, func(c Change) bool { return c.Err != nil }); w.Status().Err == nil {
				t.Error("the status says that all is well")
			}
			f.WriteLeaf(f.Server(), "server") // and now the whole
			if c := w.until(t, func(c Change) bool { return c.New != nil && !c.New.server.Leaf.Equal(served) }); w.Status().Err != nil {
				t.Errorf("status %+v after %+v", w.Status(), c)
			}
			no(RevokedCRL).check(t, w.Current(), peer(t, f.alice), time.Now())
		})
	}
}

// TestWatchFutureCRL: when a list that came early begins to count, live sessions are decided again.
func TestWatchFutureCRL(t *testing.T) {
	f := newCRLFixture(t)
	f.cfg.CRL = []string{f.crl(f.Clients, "a.crl", pki.CRLShape{})}
	w := f.watch(byEvent)
	live := yes.check(t, w.Current(), peer(t, f.alice), time.Now())
	list := revoke(f.alice)
	list.Number, list.ThisUpdate = big.NewInt(2), time.Now().Add(2*time.Second)
	f.crl(f.Clients, "a.crl", list)
	for {
		w.until(t, loaded)
		if _, err := w.Current().Recheck(live, time.Now()); err != nil {
			no(RevokedCRL).compare(t, nil, err)
			return
		}
	}
}

// TestWatchPoll: where events do not arrive, a poll finds the change.
func TestWatchPoll(t *testing.T) {
	f := newCRLFixture(t)
	real := f.crl(f.Clients, "elsewhere/deep/a.crl", pki.CRLShape{})
	f.cfg.CRL = []string{real}
	w := f.watch(20 * time.Millisecond)
	f.crl(f.Clients, "elsewhere/deep/a.crl", pki.CRLShape{Number: big.NewInt(2)})
	if c := w.until(t, loaded); c.New.CRLs()[0].Number != "2" {
		t.Errorf("CRLs %+v", c.New.CRLs())
	}
}

// TestA115HalfWrittenPair: a new certificate with the old key waits for the key; nothing mixed is
// ever served (T79).
func TestA115HalfWrittenPair(t *testing.T) {
	f := newFixture(t)
	w := f.watch(byEvent)
	before := w.Current()
	next := f.Server()
	key, err := next.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	f.write("server.crt", next.PEM())
	if c := w.next(t); !c.Waiting || c.Err == nil || c.New != nil {
		t.Fatalf("change %+v, want one that waits", c)
	}
	if w.Current() != before || w.Status().Err == nil || w.Status().FailedAt.IsZero() {
		t.Error("the last good snapshot did not stay, or the failure does not show")
	}
	f.secret("server.key", key)
	w.until(t, loaded)
	cert, err := w.Current().ServerTLS().GetCertificate(&tls.ClientHelloInfo{})
	if err != nil || !cert.Leaf.Equal(next.X509) {
		t.Errorf("served %v, %v", cert.Leaf.Subject, err)
	}
	if st := w.Status(); st.Err != nil || !st.FailedAt.IsZero() {
		t.Errorf("status %+v after a success", st)
	}
}

// secret is write with mode 0600.
func (f *fixture) secret(name string, data []byte) {
	f.t.Helper()
	path := filepath.Join(f.Dir, name)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		f.t.Fatal(err)
	}
}

// TestA115DataSwap: Kubernetes replaces the target of ..data; the files' own links never change.
func TestA115DataSwap(t *testing.T) {
	f := newFixture(t)
	mount := filepath.Join(f.Dir, "mount")
	publish := func(version string, leaf *pki.Leaf) {
		dir := filepath.Join(mount, version)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, _, err := leaf.Write(dir, "tls"); err != nil {
			t.Fatal(err)
		}
		tmp := filepath.Join(mount, "..data_tmp")
		if err := os.Symlink(version, tmp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(mount, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	first, second, third := f.Server(), f.Server(), f.Server()
	publish("..1", first)
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(mount, name)); err != nil {
			t.Fatal(err)
		}
	}
	f.cfg.CertFile, f.cfg.KeyFile = filepath.Join(mount, "tls.crt"), filepath.Join(mount, "tls.key")
	w := f.watch(byEvent)
	for i, leaf := range []*pki.Leaf{second, third} {
		publish([]string{"..2", "..3"}[i], leaf)
		w.until(t, loaded)
		if got := w.Current().Certificates()[0].SHA256; got != leaf.SHA256() {
			t.Errorf("serving %s, want %s", got, leaf.SHA256())
		}
	}
}

// TestWatchDirectoryReplaced: what takes the place of a whole directory is in force by an event (T58), however it
// does.
func TestWatchDirectoryReplaced(t *testing.T) {
	move := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for name, replace := range map[string]func(t *testing.T, w *watched, dir, next string){
		"a link to it is swapped": func(t *testing.T, _ *watched, dir, next string) {
			if err := os.Symlink(next, dir+".tmp"); err != nil {
				t.Fatal(err)
			}
			move(t, dir+".tmp", dir)
		},
		"it is moved away first": func(t *testing.T, w *watched, dir, next string) {
			move(t, dir, dir+".old")
			w.until(t, func(c Change) bool { return c.Err != nil }) // it was seen to be missing
			move(t, next, dir)
		},
		"it is removed first": func(t *testing.T, w *watched, dir, next string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			w.until(t, func(c Change) bool { return c.Err != nil })
			move(t, next, dir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newCRLFixture(t)
			for _, sub := range []string{"deep/1", "deep/2"} {
				if err := os.MkdirAll(filepath.Join(f.Dir, sub), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			f.crl(f.Clients, "deep/1/a.crl", pki.CRLShape{})
			list := revoke(f.alice)
			list.Number = big.NewInt(2)
			f.crl(f.Clients, "deep/2/a.crl", list)
			dir, next := filepath.Join(f.Dir, "deep", "current"), filepath.Join(f.Dir, "deep", "2")
			if strings.Contains(name, "link") {
				if err := os.Symlink(filepath.Join(f.Dir, "deep", "1"), dir); err != nil {
					t.Fatal(err)
				}
			} else {
				move(t, filepath.Join(f.Dir, "deep", "1"), dir)
			}
			f.cfg.CRL = []string{filepath.Join(dir, "a.crl")}
			w := f.watch(byEvent)
			yes.check(t, w.Current(), peer(t, f.alice), time.Now())
			replace(t, w, dir, next)
			w.until(t, loaded)
			no(RevokedCRL).check(t, w.Current(), peer(t, f.alice), time.Now())
		})
	}
}

// TestA116OneBadFile: nothing changes while one file is bad, and all does when it is good again (T78).
func TestA116OneBadFile(t *testing.T) {
	f := newCRLFixture(t)
	f.cfg.CRL = []string{f.crl(f.Clients, "a.crl", pki.CRLShape{})}
	w := f.watch(byEvent)
	before := w.Current()
	f.write("clients.crt", []byte("-----BEGIN CERTIFICATE-----\n"))
	if c := w.next(t); c.Err == nil || c.Waiting || !strings.Contains(c.Err.Error(), "clients.crt") {
		t.Fatalf("change %+v, want an error that names the file", c)
	}
	list := revoke(f.alice)
	list.Number = big.NewInt(2)
	f.crl(f.Clients, "a.crl", list)
	if _, err := w.Prepare(f.cfg); err == nil {
		t.Error("Prepare succeeded with a bad file")
	}
	if w.Current() != before {
		t.Error("the snapshot changed")
	}
	yes.check(t, w.Current(), peer(t, f.alice), time.Now())
	f.write("clients.crt", f.Clients.CertPEM())
	w.until(t, loaded)
	no(RevokedCRL).check(t, w.Current(), peer(t, f.alice), time.Now())
}

// TestInstall: a new configuration is prepared, then put in force, and its files are watched.
func TestInstall(t *testing.T) {
	f := newFixture(t)
	w := f.watch(byEvent)
	other := f.Root(pki.Shape{CN: "Other"})
	cfg := f.cfg
	cfg.ClientCA = []string{f.WriteCA(other, "other")}
	s, err := w.Prepare(cfg)
	if err != nil {
		t.Fatal(err)
	}
	no(UnknownCA).check(t, w.Current(), peer(t, f.Issue(other, pki.Shape{CN: "x"})), time.Now())
	w.Install(s)
	yes.check(t, w.Current(), peer(t, f.Issue(other, pki.Shape{CN: "x"})), time.Now())
	both := slices.Concat(other.CertPEM(), f.Clients.CertPEM())
	f.write("other.crt", both)
	w.until(t, loaded)
	yes.check(t, w.Current(), peer(t, f.Client("alice")), time.Now())
}

// TestWatchOCSP: a responder that says revoked, to a login, makes a new snapshot, so that the live
// sessions of that certificate are decided again (T65).
func TestWatchOCSP(t *testing.T) {
	f := newOCSPFixture(t)
	f.responder.says(f.about(f.Clients, pki.OCSPShape{ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Minute)}))
	w := f.watch(byEvent)
	live, err := w.Current().Verify(t.Context(), peer(t, f.alice), nil, time.Now())
	yes.compare(t, live, err)
	f.responder.says(f.about(f.Clients, pki.OCSPShape{Status: pki.OCSPRevoked, ThisUpdate: time.Now()}))
	_, err = w.Current().Verify(t.Context(), peer(t, f.alice), nil, time.Now().Add(2*time.Minute))
	no(RevokedOCSP).compare(t, nil, err)
	c := w.until(t, loaded)
	if c.Cause != CauseOCSP || c.Old == c.New || c.New != w.Current() {
		t.Errorf("change %+v", c)
	}
	_, err = w.Current().Recheck(live, time.Now())
	no(RevokedOCSP).compare(t, nil, err)
}
