// Package trust decides whether a client's certificate is to be believed: it loads the listener's
// certificate, key, CAs and revocation lists into an immutable Snapshot, and verifies presented
// certificates against it.
//
// It does not read identities out of a certificate, know rules or roles, speak PostgreSQL's
// protocol, or log.
package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Config names the files and settings of one listener. Paths are absolute.
type Config struct {
	Listener          string
	CertFile, KeyFile string // the listener's own certificate, leaf first

	ClientCA  []string // PEM bundles; every certificate in them is an anchor
	CRL       []string // files or directories of PEM or DER lists; empty: no CRL is asked for
	CRLPolicy string   // strict, grace or warn; empty is strict
	CRLGrace  time.Duration

	OCSP           string // off, lax or strict; empty is off
	MinTLS         uint16 // tls.VersionTLS12 (also when 0) or tls.VersionTLS13
	SessionTickets bool
	OCSPStaple     bool // staple our own certificate's status when its issuer offers OCSP

	SPIFFE      map[string][]string // trust domain to bundle files
	WorkloadAPI string              // socket of the Workload API; its values come through Workload

	MappedOIDs []string // extensions that a rule reads, dotted: critical ones are then known
}

// Snapshot is everything needed to serve and verify for one listener, as it was at one moment.
// It never changes and is safe for concurrent use.
type Snapshot struct {
	cfg     Config
	server  *tls.Certificate
	anchors *anchorSet
	tls     *tls.Config
}

// Load reads every file that cfg names and checks all of it. prev is the snapshot in force, or nil
// at start; what it remembers that still holds is carried over. An error leaves prev as it was.
func Load(cfg Config, now time.Time, prev *Snapshot) (*Snapshot, error) {
	s := &Snapshot{cfg: cfg}
	if err := s.loadServer(now); err != nil {
		return nil, err
	}
	if len(cfg.ClientCA) == 0 && len(cfg.SPIFFE) == 0 {
		return nil, errors.New("client_ca is empty: no certificate could log in")
	}
	cas, err := LoadCAs(cfg.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("client_ca: %w", err)
	}
	if s.anchors, err = newAnchorSet(cas); err != nil {
		return nil, fmt.Errorf("client_ca: %w", err)
	}
	s.tls = s.newServerTLS()
	return s, nil
}

// Anchors are the trust anchors of the listener.
func (s *Snapshot) Anchors() []*x509.Certificate { return s.anchors.list }
