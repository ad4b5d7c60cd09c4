package upstream

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	mrand "math/rand/v2"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/pgsignet/pgsignet/pgwire"
)

// renewPause is how long a renewal that has failed is left alone while the old certificate is valid: each try may
// wait for a disk that is stuck.
const renewPause = 10 * time.Second

// clockSkew is how far a minted certificate reaches into the past (T73).
const clockSkew = 5 * time.Minute

// IssuerConfig describes the credential "issuer".
type IssuerConfig struct {
	// CA returns the issuing CA's certificate and key in force, with Leaf set. It is called at every
	// login; certificates of another CA than the one in force are not used any more (T77).
	CA func() *tls.Certificate

	Lifetime       time.Duration // of a minted certificate
	MintsPerMinute int           // for roles without a valid certificate; renewals are not counted

	// OnMint is told of every certificate before it is used (T74). Its error refuses the login.
	OnMint func(Mint) error
}

// Mint is one certificate minted.
type Mint struct {
	Role     string
	Serial   string // lower-case hex
	SHA256   string // of the certificate, lower-case hex
	NotAfter time.Time
}

// Issuer is the credential "issuer": a short-lived certificate CN=<role>, minted for each role that
// logs in and used until two thirds of its life are over. It is safe for concurrent use.
type Issuer struct {
	cfg IssuerConfig

	mu     sync.Mutex
	minted map[string]*minted // by role
	pruned time.Time
	bucket float64 // mints that may be made now
	filled time.Time
}

// minted is the certificate of one role. Issuer.mu guards it.
type minted struct {
	cert    *tls.Certificate // nil until the first mint is done
	ca      *x509.Certificate
	renewAt time.Time
	minting chan struct{} // closed when the mint under way is done; nil: none is
}

// NewIssuer checks cfg.
func NewIssuer(cfg IssuerConfig) (*Issuer, error) {
	switch {
	case cfg.CA == nil:
		return nil, errors.New("issuer: no CA")
	case cfg.Lifetime <= 0:
		return nil, errors.New("issuer: no lifetime")
	case cfg.MintsPerMinute <= 0:
		return nil, errors.New("issuer: no mints per minute")
	case cfg.OnMint == nil:
		return nil, errors.New("issuer: nobody is told of mints")
	}
	now := time.Now()
	return &Issuer{
		cfg: cfg, minted: make(map[string]*minted),
		bucket: float64(cfg.MintsPerMinute), filled: now, pruned: now,
	}, nil
}

// Password returns none.
func (*Issuer) Password(string) (string, error) { return "", nil }

// TLSCertificate returns the role's certificate, minting it when there is none or it is old. Others
// who ask for the role meanwhile take the old one while it is valid, else they wait.
func (i *Issuer) TLSCertificate(role string) (*tls.Certificate, error) {
	ca := i.cfg.CA()
	if ca == nil || ca.Leaf == nil {
		return nil, noCredential(errors.New("no issuing CA is loaded"))
	}
	for {
		now := time.Now()
		i.mu.Lock()
		m := i.minted[role]
		if m == nil {
			m = new(minted)
			i.minted[role] = m
		}
		if m.cert != nil && !now.Before(m.cert.Leaf.NotAfter) {
			m.cert = nil
		}
		valid := m.cert != nil && m.ca.Equal(ca.Leaf)
		if valid && (now.Before(m.renewAt) || m.minting != nil) {
			defer i.mu.Unlock()
			return m.cert, nil
		}
		if m.minting == nil {
			return i.renew(role, m, ca, valid, now) // unlocks
		}
		minting := m.minting
		i.mu.Unlock()
		<-minting
	}
}

// renew mints for role; i.mu is held by the caller and released here. When that fails and the old
// certificate is valid, that one is used.
func (i *Issuer) renew(role string, m *minted, ca *tls.Certificate, valid bool, now time.Time) (*tls.Certificate, error) {
	if m.cert == nil && !i.take(now) {
		delete(i.minted, role)
		i.mu.Unlock()
		return nil, newError(pgwire.TooManyConnections, ReasonCredential, "too many new logins at the moment, try again later",
			fmt.Errorf("mints_per_minute = %d is reached", i.cfg.MintsPerMinute))
	}
	m.minting = make(chan struct{})
	i.mu.Unlock()

	cert, err := i.mint(role, ca, now)

	i.mu.Lock()
	defer i.mu.Unlock()
	close(m.minting)
	m.minting = nil
	if err != nil {
		if valid {
			m.renewAt = time.Now().Add(renewPause)
			return m.cert, nil
		}
		if m.cert == nil {
			delete(i.minted, role)
		}
		return nil, noCredential(err)
	}
	life := cert.Leaf.NotAfter.Sub(now)
	m.cert, m.ca = cert, ca.Leaf
	m.renewAt = now.Add(life*2/3 - mrand.N(life/10+1))
	i.prune(now)
	return cert, nil
}

// take spends one mint of the cap.
func (i *Issuer) take(now time.Time) bool {
	most := float64(i.cfg.MintsPerMinute)
	i.bucket = min(most, i.bucket+now.Sub(i.filled).Minutes()*most)
	i.filled = now
	if i.bucket < 1 {
		return false
	}
	i.bucket--
	return true
}

// prune forgets the roles whose certificate is over, at most once a minute.
func (i *Issuer) prune(now time.Time) {
	if now.Sub(i.pruned) < time.Minute {
		return
	}
	i.pruned = now
	for role, m := range i.minted {
		if m.minting == nil && m.cert != nil && !now.Before(m.cert.Leaf.NotAfter) {
			delete(i.minted, role)
		}
	}
}

// mint makes and announces a certificate. A panic is its error: others wait for the outcome.
func (i *Issuer) mint(role string, ca *tls.Certificate, now time.Time) (cert *tls.Certificate, err error) {
	defer func() {
		if p := recover(); p != nil {
			cert, err = nil, fmt.Errorf("panic while minting: %v", p)
		}
	}()
	signer, ok := ca.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the issuing CA's key cannot sign")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := template(role, ca.Leaf, now, i.cfg.Lifetime)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("mint: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("mint: %w", err)
	}
	sum := sha256.Sum256(der)
	err = i.cfg.OnMint(Mint{
		Role: role, Serial: leaf.SerialNumber.Text(16), SHA256: hex.EncodeToString(sum[:]), NotAfter: leaf.NotAfter,
	})
	if err != nil {
		return nil, fmt.Errorf("mint not recorded: %w", err)
	}
	return &tls.Certificate{
		Certificate: append([][]byte{der}, ca.Certificate...),
		PrivateKey:  key,
		Leaf:        leaf,
	}, nil
}

// template is CN=<role> alone: pg_stat_ssl cuts names at 63 bytes, and PostgreSQL ends a login whose
// subject holds an OID it has no name for (T73).
func template(role string, ca *x509.Certificate, now time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	subject, err := commonName(role)
	if err != nil {
		return nil, err
	}
	notAfter := now.Add(lifetime)
	if ca.NotAfter.Before(notAfter) {
		notAfter = ca.NotAfter
	}
	if !now.Before(notAfter) {
		return nil, fmt.Errorf("the issuing CA's certificate ended at %s", ca.NotAfter.UTC().Format(time.RFC3339))
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		RawSubject:   subject,
		SerialNumber: serial.Add(serial, big.NewInt(1)), // never zero
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, nil
}

// oidCommonName is id-at-commonName.
var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// commonName is the DER of the name CN=<role>, always a UTF8String.
func commonName(role string) ([]byte, error) {
	if role == "" || !utf8.ValidString(role) {
		return nil, errors.New("the role's name is not UTF-8")
	}
	value := asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(role)}
	return asn1.Marshal(pkix.RDNSequence{{{Type: oidCommonName, Value: value}}})
}
