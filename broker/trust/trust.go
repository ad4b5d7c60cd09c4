// Package trust decides whether a client's certificate is to be believed: it loads the listener's
// certificate, key, CAs and revocation lists into an immutable Snapshot, keeps it up to date with
// the files, and verifies presented certificates against it.
//
// It does not read identities out of a certificate, know rules or roles, speak PostgreSQL's
// protocol, or log.
package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Config names the files and settings of one listener. Paths are absolute.
type Config struct {
	Listener          string
	CertFile, KeyFile string // the listener's own certificate, leaf first
	VerifyOnly        bool   // read no certificate and key of our own: ServerTLS is nil (explain, test)

	ClientCA  []string // PEM bundles; every certificate in them is an anchor
	CRL       []string // files or directories of PEM or DER lists; empty: no CRL is asked for
	CRLPolicy string   // strict (also when empty), grace or warn: what a list past nextUpdate means
	CRLGrace  time.Duration

	OCSP           string // off (also when empty), lax or strict
	MinTLS         uint16 // tls.VersionTLS12 (also when 0) or tls.VersionTLS13
	SessionTickets bool
	OCSPStaple     bool // staple our own certificate's status when its issuer offers OCSP

	SPIFFE      map[string][]string // trust domain to bundle files
	WorkloadAPI string              // socket of the Workload API; its values come through Workload
	Workload    func() Workload     // current values from the Workload API; nil without one

	MappedOIDs []string // extensions that a rule reads, dotted: critical ones are then known

	keepPair bool // go on with the certificate and key in force when those of the files cannot be used
}

// errOwn marks an error of the listener's own certificate and key.
var errOwn = errors.New("the listener's own certificate or key cannot be used")

type ownError struct{ error }

func (ownError) Is(target error) bool { return target == errOwn }

func (e ownError) Unwrap() error { return e.error }

// Workload is what the SPIFFE Workload API says at the moment. Its certificate serves a listener
// without cert_file, its bundles the trust domains without one in Config.
type Workload struct {
	Certificate *tls.Certificate
	Bundles     map[string][]*x509.Certificate // by trust domain
}

// Snapshot is everything needed to serve and verify for one listener, as it was at one moment.
// It never changes (what it remembers about signatures and OCSP answers aside) and is safe for
// concurrent use.
type Snapshot struct {
	cfg     Config
	at      time.Time // when it was loaded
	decided time.Time // when live sessions were last decided under it: at, or when it was renewed
	server  *tls.Certificate
	clients *anchorSet            // client_ca; may be empty beside SPIFFE bundles
	domains map[string]*anchorSet // by trust domain; nil when the listener has no SPIFFE
	purpose x509.ExtKeyUsage      // clientAuth but in tests
	mapped  map[string]bool
	tls     *tls.Config
	notices []Notice
	given   Workload             // what the Workload API said
	seen    map[string]fileState // of the files, just before Prepare loaded them

	crls    *crlStore // nil when no crl is configured
	stapler *stapler  // nil when our certificate's status is not stapled

	// Shared with the snapshots before and after.
	cache   *chainCache
	ocsp    *ocspCache
	tickets *ticketKeys
}

// Load reads every file that cfg names and checks all of it. prev is the snapshot in force, or nil
// at start; what it remembers that still holds is carried over. An error leaves prev as it was. It
// reads files and checks signatures, so it does not belong on a login's path.
func Load(cfg Config, now time.Time, prev *Snapshot) (*Snapshot, error) {
	s := &Snapshot{cfg: cfg, at: now, decided: now, purpose: x509.ExtKeyUsageClientAuth, mapped: map[string]bool{}}
	if err := s.checkSettings(); err != nil {
		return nil, err
	}
	if prev == nil {
		prev = &Snapshot{cache: newChainCache(), ocsp: newOCSPCache(time.Now), tickets: &ticketKeys{clock: time.Now}}
	}
	s.cache, s.ocsp, s.tickets = prev.cache, prev.ocsp, prev.tickets
	for _, id := range cfg.MappedOIDs {
		s.mapped[id] = true
	}
	if cfg.Workload != nil {
		s.given = cfg.Workload()
	}
	if !cfg.VerifyOnly {
		if err := s.loadServer(now); err != nil {
			if !cfg.keepPair || prev.server == nil {
				return nil, ownError{err}
			}
			s.server = prev.server
		}
		s.cfg.keepPair = false
	}
	if err := s.loadAnchors(prev); err != nil {
		return nil, err
	}
	s.noteAnchors(now)
	if len(cfg.CRL) > 0 {
		var err error
		if s.crls, err = s.loadCRLs(prev.crls); err != nil {
			return nil, fmt.Errorf("crl: %w", err)
		}
		s.noteCRLs(s.crls)
	}
	if s.server != nil {
		s.prepareStaple(prev.stapler)
		s.tls = s.newServerTLS()
	}
	return s, nil
}

// checkSettings refuses words it does not know: a misspelt policy must not become a lax one.
func (s *Snapshot) checkSettings() error {
	switch s.cfg.CRLPolicy {
	case "", crlStrict, crlGrace, crlWarn:
	default:
		return fmt.Errorf("crl_policy %q is not strict, grace or warn", s.cfg.CRLPolicy)
	}
	switch s.cfg.OCSP {
	case "", ocspOffMode, ocspLax, ocspStrict:
	default:
		return fmt.Errorf("ocsp %q is not off, lax or strict", s.cfg.OCSP)
	}
	return nil
}

// loadServer takes the listener's own certificate and key, and refuses one that is out of date (T78).
func (s *Snapshot) loadServer(now time.Time) error {
	name := "certificate of the Workload API"
	if s.cfg.CertFile == "" {
		if s.server = s.given.Certificate; s.server == nil || s.server.Leaf == nil {
			return errors.New("cert_file is not set and the Workload API has given no certificate")
		}
	} else {
		pair, err := LoadKeyPair(s.cfg.CertFile, s.cfg.KeyFile)
		if err != nil {
			return err
		}
		s.server, name = &pair, s.cfg.CertFile
	}
	if leaf := s.server.Leaf; now.After(leaf.NotAfter) {
		return fmt.Errorf("%s expired on %s", name, stamp(leaf.NotAfter))
	} else if now.Before(leaf.NotBefore) {
		return fmt.Errorf("%s is valid only from %s", name, stamp(leaf.NotBefore))
	}
	return nil
}

// loadAnchors reads client_ca and the SPIFFE bundles. A set that did not change is taken over from
// prev, so that the chains remembered under it need no second look.
func (s *Snapshot) loadAnchors(prev *Snapshot) error {
	cfg := &s.cfg
	spiffe := len(cfg.SPIFFE) > 0 || cfg.WorkloadAPI != "" || cfg.Workload != nil
	if len(cfg.ClientCA) == 0 && !spiffe {
		return errors.New("client_ca is empty: no certificate could log in")
	}
	cas, err := LoadCAs(cfg.ClientCA)
	if err != nil {
		return fmt.Errorf("client_ca: %w", err)
	}
	if s.clients, err = unchanged(cas, prev.clients); err != nil {
		return fmt.Errorf("client_ca: %w", err)
	}
	if !spiffe {
		return nil
	}
	s.domains = map[string]*anchorSet{}
	for domain, cas := range s.given.Bundles {
		if s.domains[domain], err = unchanged(cas, prev.domains[domain]); err != nil {
			return fmt.Errorf("bundle of %s from the Workload API: %w", ascii(domain), err)
		}
	}
	for domain, files := range cfg.SPIFFE {
		if !validDomain(domain) {
			return fmt.Errorf("trust_domain %q is not a SPIFFE trust domain name", domain)
		}
		cas, err := LoadCAs(files)
		if err != nil {
			return fmt.Errorf("trust_domain %q: %w", domain, err)
		}
		if s.domains[domain], err = unchanged(cas, prev.domains[domain]); err != nil {
			return fmt.Errorf("trust_domain %q: %w", domain, err)
		}
	}
	return nil
}

// workloadChanged says that the Workload API says something else than when s was loaded.
func (s *Snapshot) workloadChanged() bool {
	if s.cfg.Workload == nil {
		return false
	}
	now := s.cfg.Workload()
	return now.Certificate != s.given.Certificate ||
		!maps.EqualFunc(now.Bundles, s.given.Bundles, func(a, b []*x509.Certificate) bool {
			return slices.EqualFunc(a, b, (*x509.Certificate).Equal)
		})
}

// unchanged returns the set of cas: old itself if it holds the same.
func unchanged(cas []*x509.Certificate, old *anchorSet) (*anchorSet, error) {
	set, err := newAnchorSet(cas)
	if err == nil && old != nil && set.equal(old) {
		return old, nil
	}
	return set, err
}

// Anchors are the trust anchors of the listener: client_ca, then the SPIFFE bundles.
func (s *Snapshot) Anchors() []*x509.Certificate {
	all := append([]*x509.Certificate(nil), s.clients.list...)
	for _, domain := range sortedKeys(s.domains) {
		all = append(all, s.domains[domain].list...)
	}
	return all
}
