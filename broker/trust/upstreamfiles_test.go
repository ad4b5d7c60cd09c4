package trust

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/poll"
)

// upstreamFixture is an UpstreamFiles that runs, with its changes.
type upstreamFixture struct {
	*fixture
	*UpstreamFiles
	changes chan UpstreamChange
	refuse  error // what judge says of new material
}

func newUpstreamFixture(t *testing.T) *upstreamFixture {
	t.Helper()
	f := &upstreamFixture{fixture: newFixture(t), changes: make(chan UpstreamChange, 100)}
	f.write("ca.crt", f.Servers.PEM())
	f.put("broker.crt", f.Issue(f.Broker, pki.Shape{CN: "first"}))
	var err error
	f.UpstreamFiles, err = NewUpstreamFiles(UpstreamConfig{
		CAFile: filepath.Join(f.Dir, "ca.crt"), CertFile: filepath.Join(f.Dir, "broker.crt"),
		KeyFile: filepath.Join(f.Dir, "broker.key"), Settle: 20 * time.Millisecond, Poll: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// put writes a pair; the key of "x.crt" is "x.key".
func (f *upstreamFixture) put(name string, leaf *pki.Leaf) {
	f.t.Helper()
	key, err := leaf.KeyPEM()
	if err != nil {
		f.t.Fatal(err)
	}
	f.secret(strings.TrimSuffix(name, ".crt")+".key", key) // never open to others, not even for a moment
	f.write(name, leaf.PEM())
}

func (f *upstreamFixture) run() {
	ignore := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx, func(*UpstreamMaterial) error { return f.refuse }, func(c UpstreamChange) { f.changes <- c })
	}()
	f.t.Cleanup(func() {
		cancel()
		<-done
		if err := poll.Gone(ignore); err != nil {
			f.t.Error(err)
		}
	})
}

// next returns the next change that is not half of a pair.
func (f *upstreamFixture) next() UpstreamChange {
	f.t.Helper()
	for {
		select {
		case c := <-f.changes:
			if !c.Waiting {
				return c
			}
		case <-time.After(time.Minute):
			f.t.Fatal("no change after 30 s")
		}
	}
}

// T78, T80: new files are in force soon after they are written; each kind of damage keeps the last
// good, and what was repaired counts.
func TestUpstreamFilesFollowTheirContents(t *testing.T) {
	f := newUpstreamFixture(t)
	f.run()
	f.put("broker.crt", f.Issue(f.Broker, pki.Shape{CN: "second"}))
	if c := f.next(); c.Err != nil || f.Certificate().Leaf.Subject.CommonName != "second" {
		t.Fatalf("%+v, in force: %s", c, f.Certificate().Leaf.Subject)
	}
	both := append(f.Servers.PEM(), f.Clients.PEM()...)
	f.write("ca.crt", both)
	if c := f.next(); c.Err != nil || len(f.Material().CAs) != 2 {
		t.Fatalf("%+v, %d CAs", c, len(f.Material().CAs))
	}
	for name, damage := range map[string]func(){
		"no CA": func() { f.write("ca.crt", []byte("nothing")) },
		"expired": func() {
			f.put("broker.crt", f.Issue(f.Broker, pki.Shape{CN: "old", NotAfter: time.Now().Add(-time.Minute)}))
		},
		"gone": func() { os.Remove(filepath.Join(f.Dir, "ca.crt")) },
	} {
		before := f.Material()
		damage()
		if c := f.next(); c.Err == nil || f.Material() != before || f.Status().Err == nil {
			t.Errorf("%s: %+v", name, c)
		}
		f.write("ca.crt", both)
		f.put("broker.crt", f.Issue(f.Broker, pki.Shape{CN: "repaired " + name}))
		for f.Certificate().Leaf.Subject.CommonName != "repaired "+name {
			f.next()
		}
		if err := f.Status().Err; err != nil {
			t.Errorf("%s repaired: %v", name, err)
		}
	}
}

// T81: whoever runs the files may refuse what is new; the same contents written anew are no change.
func TestUpstreamFilesAreJudged(t *testing.T) {
	f := newUpstreamFixture(t)
	f.refuse = errors.New("also a client CA")
	f.run()
	f.write("ca.crt", f.Servers.PEM())
	f.put("broker.crt", f.Issue(f.Broker, pki.Shape{CN: "second"}))
	if c := f.next(); !errors.Is(c.Err, f.refuse) || f.Certificate().Leaf.Subject.CommonName != "first" {
		t.Errorf("%+v", c)
	}
}

func TestUpstreamFilesAtStart(t *testing.T) {
	f := newUpstreamFixture(t)
	cfg := f.UpstreamFiles.cfg
	cfg.Issuer = true
	if _, err := NewUpstreamFiles(cfg); err == nil || !strings.Contains(err.Error(), "not a CA") {
		t.Errorf("an issuer that is no CA: %v", err)
	}
	cfg.CertFile, cfg.KeyFile = "", ""
	if m, err := NewUpstreamFiles(cfg); err != nil || m.Certificate() != nil {
		t.Errorf("without a certificate: %v", err)
	}
	if !SharesKey(f.Servers.X509, f.Material().CAs) || SharesKey(f.Clients.X509, f.Material().CAs) {
		t.Error("SharesKey")
	}
	os.Chmod(filepath.Join(f.Dir, "broker.key"), 0o644)
	if _, err := ReadSecret(filepath.Join(f.Dir, "broker.key")); err == nil {
		t.Error("T82: a secret that others may read was read")
	}
}
