package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/broker/trust"
	"github.com/pgsignet/pgsignet/policy/identity"
)

// maxChainFile is the largest certificate file read, in bytes: ten times what a login may present.
const maxChainFile = 10 * 10 * 32 << 10

// verifier treats certificate files as listeners treat what clients present.
type verifier struct {
	cfg       *config.Config
	snapshots map[string]*trust.Snapshot // by listener, loaded when first asked for
}

func newVerifier(cfg *config.Config) *verifier {
	return &verifier{cfg: cfg, snapshots: map[string]*trust.Snapshot{}}
}

// verdict is what became of one certificate. Identity is nil when it was refused.
type verdict struct {
	Leaf       *x509.Certificate
	Report     trust.Report
	Revocation string    // none | crl | ocsp; accepted ones only
	NotAfter   time.Time // of the chain; accepted ones only
	Identity   *identity.Identity
	Refusal    refusal // nil: accepted
}

// refusal is an error that a client may see.
type refusal interface {
	error
	SQLState() string
	Reason() string
	Public() string
}

// verify checks the certificates in file, leaf first, at a time, as a login at that listener does:
// chain, revocation, then the identity. An error means that no verdict could be reached.
func (v *verifier) verify(file, listener string, at time.Time) (*verdict, error) {
	peer, err := readChain(file)
	if err != nil {
		return nil, err
	}
	snapshot, err := v.snapshot(listener)
	if err != nil {
		return nil, err
	}
	out := &verdict{Leaf: peer[0]}
	verified, err := snapshot.Explain(peer, nil, at)
	if err != nil {
		return out.refused(err)
	}
	out.Report, out.Revocation, out.NotAfter = verified.Report, verified.Revocation, verified.NotAfter
	id, err := identity.Extract(verified.Leaf, v.cfg.Policy().OIDs())
	if err != nil {
		return out.refused(err)
	}
	id.Anchors = verified.Anchors
	out.Identity = id
	return out, nil
}

// refused notes a refusal; any other error is passed on.
func (d *verdict) refused(err error) (*verdict, error) {
	if !errors.As(err, &d.Refusal) {
		return nil, err
	}
	if r, ok := errors.AsType[*trust.Refusal](err); ok {
		d.Report = r.Report()
	}
	return d, nil
}

// snapshot loads what a listener trusts, as it is now.
func (v *verifier) snapshot(listener string) (*trust.Snapshot, error) {
	if s := v.snapshots[listener]; s != nil {
		return s, nil
	}
	for i := range v.cfg.Listeners {
		if l := &v.cfg.Listeners[i]; l.Name == listener {
			cfg := trustConfig(l, v.cfg.Policy().OIDs())
			cfg.VerifyOnly = true
			s, err := trust.Load(cfg, time.Now(), nil)
			if err != nil {
				return nil, fmt.Errorf("listener %q: %w", listener, err)
			}
			v.snapshots[listener] = s
			return s, nil
		}
	}
	return nil, fmt.Errorf("there is no listener %q", listener)
}

// readChain reads the certificates of a PEM file in their order.
func readChain(name string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if len(data) > maxChainFile {
		return nil, fmt.Errorf("%s is larger than any certificate", name)
	}
	var chain []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w (a client that presents it gets a TLS alert)", name, len(chain)+1, err)
		}
		chain = append(chain, cert)
	}
	if chain == nil {
		return nil, fmt.Errorf("%s holds no PEM certificate", name)
	}
	return chain, nil
}
