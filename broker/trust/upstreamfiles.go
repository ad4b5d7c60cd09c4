package trust

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ReadSecret reads a file that holds a secret: regular, at most 1 MiB, owned by root or by us, and
// closed to other users (T82). What is checked is what is read. No error text holds its contents.
func ReadSecret(path string) ([]byte, error) { return readFile(path, maxKeyFile, true) }

// UpstreamConfig names the files by which the broker trusts servers and logs in to them.
type UpstreamConfig struct {
	CAFile            string // CAs that vouch for the servers
	CertFile, KeyFile string // the broker's certificate, or the CA that issues roles'; "" is none
	Issuer            bool   // CertFile is that CA

	Poll   time.Duration // between looks where events do not arrive; 0: 15 s
	Settle time.Duration // quiet time after a change before the files are read; 0: 100 ms
}

// UpstreamMaterial is the contents of these files at one moment. It never changes.
type UpstreamMaterial struct {
	CAs   []*x509.Certificate
	Roots *x509.CertPool   // of CAs; never nil
	Pair  *tls.Certificate // nil: none; Leaf is set
}

// UpstreamChange is one attempt to replace the material of an upstream.
type UpstreamChange struct {
	Old, New *UpstreamMaterial // New is in force now; nil when nothing changed
	Err      error             // why Old stays in force
	Waiting  bool              // Err is half of a pair: the other is being written
}

// UpstreamFiles keeps an upstream's material up to date with its files: loaded whole or not at all,
// after an error the last good stays (T78). Methods are safe for concurrent use.
type UpstreamFiles struct {
	cfg     UpstreamConfig
	files   Config // the same files, as scan and dirWatch take them
	current atomic.Pointer[UpstreamMaterial]
	poke    chan struct{}

	seen map[string]fileState // owned by Run

	mu     sync.Mutex // guards status
	status Status
}

// NewUpstreamFiles loads the files. It starts nothing: call Run.
func NewUpstreamFiles(cfg UpstreamConfig) (*UpstreamFiles, error) {
	if cfg.Poll <= 0 {
		cfg.Poll = defaultPoll
	}
	if cfg.Settle <= 0 {
		cfg.Settle = defaultSettle
	}
	f := &UpstreamFiles{cfg: cfg, poke: make(chan struct{}, 1)}
	f.files = Config{CertFile: cfg.CertFile, KeyFile: cfg.KeyFile, ClientCA: []string{cfg.CAFile}}
	f.seen = scan(&f.files, nil)
	m, err := cfg.load()
	if err != nil {
		return nil, err
	}
	f.current.Store(m)
	f.status.LoadedAt = time.Now()
	return f, nil
}

// Material is what is in force.
func (f *UpstreamFiles) Material() *UpstreamMaterial { return f.current.Load() }

// Roots and Certificate are the parts of Material, for a dial.
func (f *UpstreamFiles) Roots() *x509.CertPool         { return f.Material().Roots }
func (f *UpstreamFiles) Certificate() *tls.Certificate { return f.Material().Pair }

// Status tells how the last reload went.
func (f *UpstreamFiles) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// Poke makes Run look at the files soon.
func (f *UpstreamFiles) Poke() {
	select {
	case f.poke <- struct{}{}:
	default:
	}
}

// load reads and checks the files. A parser that panics on what is in one makes that file bad.
func (c *UpstreamConfig) load() (_ *UpstreamMaterial, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic while loading: %v", p)
		}
	}()
	cas, err := LoadCAs([]string{c.CAFile})
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	m := &UpstreamMaterial{CAs: cas, Roots: x509.NewCertPool()}
	for _, ca := range cas {
		m.Roots.AddCert(ca)
	}
	if c.CertFile == "" {
		return m, nil
	}
	pair, err := LoadKeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, err
	}
	m.Pair = &pair
	if c.Issuer {
		if err := checkAnchor(pair.Leaf); err != nil {
			return nil, fmt.Errorf("issuer certificate \"%s\" %w", certText(pair.Leaf), err)
		}
	}
	return m, nil
}

// inDate refuses a certificate that would replace another and is no use now. At start it is not
// asked: a broker whose certificate is over starts, and says so at each login.
func (m *UpstreamMaterial) inDate(now time.Time) error {
	switch {
	case m.Pair == nil:
		return nil
	case now.After(m.Pair.Leaf.NotAfter):
		return fmt.Errorf("certificate \"%s\" ended on %s", certText(m.Pair.Leaf), stamp(m.Pair.Leaf.NotAfter))
	case now.Before(m.Pair.Leaf.NotBefore):
		return fmt.Errorf("certificate \"%s\" is valid only from %s", certText(m.Pair.Leaf), stamp(m.Pair.Leaf.NotBefore))
	}
	return nil
}

// same says that both hold the same certificates.
func (m *UpstreamMaterial) same(o *UpstreamMaterial) bool {
	if len(m.CAs) != len(o.CAs) || (m.Pair == nil) != (o.Pair == nil) {
		return false
	}
	for i, ca := range m.CAs {
		if !ca.Equal(o.CAs[i]) {
			return false
		}
	}
	if m.Pair == nil || len(m.Pair.Certificate) != len(o.Pair.Certificate) {
		return m.Pair == nil
	}
	for i, der := range m.Pair.Certificate {
		if !bytes.Equal(der, o.Pair.Certificate[i]) {
			return false
		}
	}
	return true
}

// SharesKey says whether c is one of the CAs, or has the key of one (T81).
func SharesKey(c *x509.Certificate, cas []*x509.Certificate) bool {
	for _, ca := range cas {
		if ca.Equal(c) || bytes.Equal(ca.RawSubjectPublicKeyInfo, c.RawSubjectPublicKeyInfo) {
			return true
		}
	}
	return false
}

// Run watches the files until ctx ends. It is called once. judge, unless nil, may refuse new material
// before it is in force; changed is told of each change and of each new failure, one call at a time.
func (f *UpstreamFiles) Run(ctx context.Context, judge func(*UpstreamMaterial) error, changed func(UpstreamChange)) {
	dirs, events, poll := newDirWatch(f.cfg.Poll)
	defer dirs.close()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		dirs.follow(&f.files)
		f.look(judge, changed)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-f.poke:
		case <-events:
			if !settle(ctx, events, f.cfg.Settle) {
				return
			}
		case <-dirs.errors():
		}
	}
}

// look loads the files when their contents changed, or when they could not be loaded before.
func (f *UpstreamFiles) look(judge func(*UpstreamMaterial) error, changed func(UpstreamChange)) {
	states, failed := scan(&f.files, f.seen), f.Status().Err
	if sameContents(states, f.seen) && failed == nil {
		f.seen = states
		return
	}
	f.seen = states
	old := f.Material()
	m, err := f.replacement(old, judge)
	if err != nil {
		f.note(err)
		if failed == nil || failed.Error() != err.Error() {
			changed(UpstreamChange{Old: old, Err: err, Waiting: errors.Is(err, ErrPair) || errors.Is(err, errChanged)})
		}
		return
	}
	f.note(nil)
	if !m.same(old) {
		f.current.Store(m)
		changed(UpstreamChange{Old: old, New: m})
	}
}

func (f *UpstreamFiles) replacement(old *UpstreamMaterial, judge func(*UpstreamMaterial) error) (*UpstreamMaterial, error) {
	m, err := f.cfg.load()
	if err != nil || m.same(old) {
		return m, err
	}
	if err := m.inDate(time.Now()); err != nil {
		return nil, err
	}
	if judge != nil {
		if err := judge(m); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (f *UpstreamFiles) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.status = Status{LoadedAt: time.Now()}
	default:
		f.status.Err = err
		if f.status.FailedAt.IsZero() {
			f.status.FailedAt = time.Now()
		}
	}
}
