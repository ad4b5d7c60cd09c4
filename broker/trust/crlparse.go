package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// Extensions of CRLs and their entries (RFC 5280, 5.2 and 5.3).
var (
	oidAuthorityKeyID    = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidCRLNumber         = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidReasonCode        = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidInvalidityDate    = asn1.ObjectIdentifier{2, 5, 29, 24}
	oidDeltaCRL          = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidIssuingDistPoint  = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidCertificateIssuer = asn1.ObjectIdentifier{2, 5, 29, 29}
	oidCRLDistPoints     = asn1.ObjectIdentifier{2, 5, 29, 31}
)

// crl is one parsed list. It is immutable but for what it remembers about its signature, and
// outlives snapshots while its file does not change.
type crl struct {
	file       string
	id         string   // equal for equal lists alone
	issuer     []byte   // raw Name
	number     *big.Int // nil when it has none
	thisUpdate time.Time
	nextUpdate time.Time // zero when it has none
	keyID      []byte    // of the authority key identifier, or nil
	akiSerial  []byte    // its authorityCertSerialNumber, content octets, or nil
	scope      scope
	serials    serialSet
	unusable   string // why it never counts, or ""
	delta      bool

	alg       sigAlg
	digest    []byte // what the signature is over (Ed25519: the list itself)
	signature []byte

	mu      sync.Mutex
	signers map[[sha256.Size]byte]bool // by SHA-256 of the public key: whether it signed this
	signer  *x509.Certificate          // one that did
}

// parseCRLs reads every list of a file: PEM blocks, or one in DER.
func parseCRLs(path string, data []byte) ([]*crl, error) {
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		list, err := parseCRL(path, data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return []*crl{list}, nil
	}
	var lists []*crl
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			if bytes.Contains(rest, []byte("-----BEGIN")) {
				return nil, fmt.Errorf("%s: the PEM block after CRL %d is cut or damaged", path, len(lists))
			}
			if lists == nil {
				return nil, fmt.Errorf("%s holds no CRL", path)
			}
			return lists, nil
		}
		if b.Type != "X509 CRL" {
			return nil, fmt.Errorf("%s holds a %q block: only CRLs belong there", path, b.Type)
		}
		list, err := parseCRL(path, b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s, CRL %d: %w", path, len(lists)+1, err)
		}
		lists = append(lists, list)
	}
}

// parseCRL reads one CertificateList. The result shares no memory with in.
func parseCRL(path string, in []byte) (*crl, error) {
	input := cryptobyte.String(in)
	var outer, rawTBS, outerAlg cryptobyte.String
	var signature asn1.BitString
	if !input.ReadASN1(&outer, der.SEQUENCE) || !input.Empty() ||
		!outer.ReadASN1Element(&rawTBS, der.SEQUENCE) || !outer.ReadASN1(&outerAlg, der.SEQUENCE) ||
		!outer.ReadASN1BitString(&signature) || signature.BitLength%8 != 0 || !outer.Empty() {
		return nil, errors.New("malformed CRL")
	}
	list := &crl{file: path, signature: bytes.Clone(signature.Bytes), signers: map[[sha256.Size]byte]bool{}}
	var tbs, innerAlg cryptobyte.String
	raw := rawTBS
	if !raw.ReadASN1(&tbs, der.SEQUENCE) {
		return nil, errors.New("malformed CRL")
	}
	if !tbs.PeekASN1Tag(der.INTEGER) {
		return nil, errors.New("a version 1 CRL, which has no extensions: have it written as version 2 (openssl.cnf: crl_extensions)")
	}
	var version int
	if !tbs.ReadASN1Integer(&version) || version != 1 || !tbs.ReadASN1(&innerAlg, der.SEQUENCE) {
		return nil, errors.New("malformed CRL version or signature algorithm")
	}
	var err error
	if list.alg, err = parseSigAlg(outerAlg); err != nil {
		list.unusable = err.Error()
	} else if !bytes.Equal(innerAlg, outerAlg) {
		return nil, errors.New("its two signature algorithms differ")
	} else {
		list.digest = bytes.Clone(list.alg.digest(rawTBS))
	}
	id := sha256.Sum256(list.digest) // nil for a weak algorithm: such a list never counts anyway
	list.id = string(id[:]) + string(list.signature)
	return list, list.parseTBS(tbs)
}

// parseTBS reads TBSCertList from the issuer on.
func (l *crl) parseTBS(tbs cryptobyte.String) error {
	var issuer cryptobyte.String
	if !tbs.ReadASN1Element(&issuer, der.SEQUENCE) || !readTime(&tbs, &l.thisUpdate) {
		return errors.New("malformed CRL issuer or thisUpdate")
	}
	l.issuer = bytes.Clone(issuer)
	if tbs.PeekASN1Tag(der.UTCTime) || tbs.PeekASN1Tag(der.GeneralizedTime) {
		if !readTime(&tbs, &l.nextUpdate) {
			return errors.New("malformed CRL nextUpdate")
		}
	}
	var revoked, exts cryptobyte.String
	var hasExts bool
	if !tbs.ReadOptionalASN1(&revoked, nil, der.SEQUENCE) ||
		!tbs.ReadOptionalASN1(&exts, &hasExts, der.Tag(0).ContextSpecific().Constructed()) || !tbs.Empty() {
		return errors.New("malformed CRL")
	}
	if err := l.parseEntries(revoked); err != nil {
		return err
	}
	if !hasExts {
		return nil
	}
	return eachExtension(exts, l.extension)
}

// parseEntries collects the serial numbers, in two passes so that memory is taken once.
func (l *crl) parseEntries(revoked cryptobyte.String) error {
	count := 0
	for s := revoked; !s.Empty(); count++ {
		if !s.SkipASN1(der.SEQUENCE) {
			return errors.New("malformed CRL entry")
		}
	}
	rows := make([]serialNumber, 0, min(count, len(revoked)/minEntry))
	for !revoked.Empty() {
		var entry, serial cryptobyte.String
		if !revoked.ReadASN1(&entry, der.SEQUENCE) || !entry.ReadASN1(&serial, der.INTEGER) || !skipTime(&entry) {
			return errors.New("malformed CRL entry")
		}
		if n, ok := serialFrom(serial); ok {
			rows = append(rows, n)
		}
		if entry.Empty() || isReasonCode(entry) {
			continue
		}
		if err := eachExtension(entry, l.entryExtension); err != nil {
			return err
		}
	}
	l.serials = newSerialSet(rows)
	return nil
}

// minEntry is the length of the shortest entry: headers, a serial of one octet, a UTCTime.
const minEntry = 2 + 3 + 15

// isReasonCode recognises by its bytes what nearly every entry with extensions has: a reasonCode
// that is not critical, and nothing else.
func isReasonCode(exts []byte) bool {
	return len(exts) == len(reasonCode)+1 && bytes.HasPrefix(exts, reasonCode)
}

// reasonCode is an Extensions element with a reasonCode, up to the code itself.
var reasonCode = []byte{0x30, 12, 0x30, 10, 6, 3, 0x55, 0x1d, 21, 4, 3, 10, 1}

// eachExtension calls f for the extensions of an Extensions element that fills s.
// An OID that occurs twice is an error.
func eachExtension(s cryptobyte.String, f func(id asn1.ObjectIdentifier, critical bool, value []byte) error) error {
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, der.SEQUENCE) || !s.Empty() {
		return errors.New("malformed extensions")
	}
	var seen []asn1.ObjectIdentifier
	for !seq.Empty() {
		var ext, value cryptobyte.String
		var id asn1.ObjectIdentifier
		var critical bool
		if !seq.ReadASN1(&ext, der.SEQUENCE) || !ext.ReadASN1ObjectIdentifier(&id) ||
			ext.PeekASN1Tag(der.BOOLEAN) && !ext.ReadASN1Boolean(&critical) ||
			!ext.ReadASN1(&value, der.OCTET_STRING) || !ext.Empty() {
			return errors.New("malformed extension")
		}
		if slices.ContainsFunc(seen, id.Equal) {
			return errors.New("an extension occurs twice")
		}
		seen = append(seen, id)
		if err := f(id, critical, value); err != nil {
			return err
		}
	}
	return nil
}

// extension reads one extension of the list.
func (l *crl) extension(id asn1.ObjectIdentifier, critical bool, value []byte) error {
	switch {
	case id.Equal(oidCRLNumber):
		l.number = new(big.Int)
		s := cryptobyte.String(value)
		if !s.ReadASN1Integer(l.number) || !s.Empty() || l.number.Sign() < 0 || len(value) > 2+serialLen {
			return errors.New("malformed CRL number")
		}
		if critical {
			l.unusable = "its CRL number is critical"
		}
	case id.Equal(oidAuthorityKeyID):
		return l.authorityKeyID(value)
	case id.Equal(oidDeltaCRL):
		l.delta, l.unusable = true, "it is a delta CRL"
	case id.Equal(oidIssuingDistPoint):
		var err error
		if l.scope, err = parseScope(value); err != nil {
			return err
		}
		if l.scope.unusable != "" {
			l.unusable = l.scope.unusable
		}
	case critical:
		l.unusable = "it has the unknown critical extension " + id.String()
	}
	return nil
}

// entryExtension reads one extension of an entry.
func (l *crl) entryExtension(id asn1.ObjectIdentifier, critical bool, _ []byte) error {
	switch {
	case id.Equal(oidReasonCode), id.Equal(oidInvalidityDate):
	case id.Equal(oidCertificateIssuer):
		l.unusable = "it is an indirect CRL"
	case critical:
		l.unusable = "an entry has the unknown critical extension " + id.String()
	}
	return nil
}

func (l *crl) authorityKeyID(value []byte) error {
	s := cryptobyte.String(value)
	var seq, keyID, issuer, serial cryptobyte.String
	if !s.ReadASN1(&seq, der.SEQUENCE) || !s.Empty() ||
		!seq.ReadOptionalASN1(&keyID, nil, der.Tag(0).ContextSpecific()) ||
		!seq.ReadOptionalASN1(&issuer, nil, der.Tag(1).ContextSpecific().Constructed()) ||
		!seq.ReadOptionalASN1(&serial, nil, der.Tag(2).ContextSpecific()) || !seq.Empty() {
		return errors.New("malformed CRL authority key identifier")
	}
	l.keyID, l.akiSerial = bytes.Clone(keyID), bytes.Clone(serial)
	return nil
}

// readTime reads a Time: UTCTime or GeneralizedTime.
func readTime(s *cryptobyte.String, t *time.Time) bool {
	if s.PeekASN1Tag(der.UTCTime) {
		return s.ReadASN1UTCTime(t)
	}
	return s.ReadASN1GeneralizedTime(t)
}

func skipTime(s *cryptobyte.String) bool {
	if s.PeekASN1Tag(der.UTCTime) {
		return s.SkipASN1(der.UTCTime)
	}
	return s.SkipASN1(der.GeneralizedTime)
}

// maxSigners bounds how many keys of one issuer name a list is tried with.
const maxSigners = 64

// signedBy says whether c's key signed the list, and remembers it.
func (l *crl) signedBy(c *x509.Certificate) bool {
	key := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	l.mu.Lock()
	defer l.mu.Unlock()
	ok, known := l.signers[key]
	if known || len(l.signers) >= maxSigners || l.unusable != "" {
		return ok
	}
	ok = l.alg.verify(c.PublicKey, l.digest, l.signature) == nil
	l.signers[key] = ok
	if ok {
		l.signer = c
	}
	return ok
}

// knownSigner is a certificate whose key signed the list, or nil when nobody asked yet.
func (l *crl) knownSigner() *x509.Certificate {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.signer
}
