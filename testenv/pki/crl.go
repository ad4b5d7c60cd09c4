package pki

import (
	"crypto"
	"encoding/pem"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CRLShape says how a CRL shall look. Its zero value is a good, empty, complete CRL number 1,
// issued an hour ago and due in a day.
type CRLShape struct {
	Number     *big.Int // nil: 1
	ThisUpdate time.Time
	NextUpdate time.Time
	Revoked    []Revoked

	NoNextUpdate bool
	Version      int // 1 or 2 as people count; 0: 2. v1 carries no extensions

	IDP       *IDP     // issuingDistributionPoint
	DeltaBase *big.Int // not nil: a delta CRL on that number

	// Extensions. Omit drops AKI and CRLNumber by their OID, Ext appends.
	Omit []OID
	Ext  []Extension

	Issuer             Name          // not nil: instead of the CA's subject
	SignedBy           crypto.Signer // nil: the CA's key
	SigAlg             SigAlg        // "": what fits the key
	InnerAlg, OuterAlg SigAlg
}

// Revoked is one entry of a CRL.
type Revoked struct {
	Serial *big.Int
	At     time.Time // zero: an hour ago
	Reason int       // RFC 5280 CRLReason; 0: no reason extension; 6 is certificateHold, 8 removeFromCRL
	Ext    []Extension
}

// Revoke is an entry for that certificate.
func Revoke(l *Leaf) Revoked { return Revoked{Serial: l.X509.SerialNumber} }

// IDP is issuingDistributionPoint.
type IDP struct {
	Names           []GeneralName // fullName of the distribution point
	OnlyUser        bool
	OnlyCA          bool
	OnlySomeReasons bool // keyCompromise alone
	Indirect        bool
	OnlyAttribute   bool
}

// CRL makes and signs a CRL and returns its DER.
func (ca *CA) CRL(s CRLShape) ([]byte, error) {
	by, err := ca.issuer()
	if err != nil {
		return nil, err
	}
	if s.Issuer != nil {
		by.rawSubject = s.Issuer.Encode()
	}
	sg := signing{key: by.key, alg: s.SigAlg, inner: s.InnerAlg, outer: s.OuterAlg}
	if s.SignedBy != nil {
		sg.key = s.SignedBy
	}
	return sg.assemble(func(inner []byte) ([]byte, error) { return s.tbs(inner, by) })
}

// CRLPEM is CRL as PEM.
func (ca *CA) CRLPEM(s CRLShape) ([]byte, error) {
	der, err := ca.CRL(s)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), nil
}

func (s *CRLShape) tbs(alg []byte, by *issuer) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if s.Version != 1 {
			b.AddASN1Int64(int64(or(s.Version, 2) - 1))
		}
		b.AddBytes(alg)
		b.AddBytes(by.rawSubject)
		s.addDates(b)
		if len(s.Revoked) > 0 {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, r := range s.Revoked {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { r.encode(b, s.Version == 1) })
				}
			})
		}
		if exts := s.extensions(by); s.Version != 1 && len(exts) > 0 {
			b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				addExtensions(b, exts)
			})
		}
	})
	return b.Bytes()
}

func (s *CRLShape) addDates(b *cryptobyte.Builder) {
	this := s.ThisUpdate
	if this.IsZero() {
		this = time.Now().Add(-time.Hour)
	}
	addTime(b, this)
	if s.NoNextUpdate {
		return
	}
	next := s.NextUpdate
	if next.IsZero() {
		next = this.Add(25 * time.Hour)
	}
	addTime(b, next)
}

func (s *CRLShape) extensions(by *issuer) []Extension {
	var exts []Extension
	if by.keyID != nil {
		exts = append(exts, AuthorityKeyID(by.keyID))
	}
	number := s.Number
	if number == nil {
		number = big.NewInt(1)
	}
	exts = append(exts, CRLNumber(number))
	if s.DeltaBase != nil {
		exts = append(exts, Extension{ID: OIDDeltaCRLIndicator, Critical: true, Value: CRLNumber(s.DeltaBase).Value})
	}
	if s.IDP != nil {
		exts = append(exts, s.IDP.extension())
	}
	exts = slices.DeleteFunc(exts, func(e Extension) bool { return slices.ContainsFunc(s.Omit, e.ID.Equal) })
	return append(exts, s.Ext...)
}

// CRLNumber is the extension of that name; Critical is false, as it must be.
func CRLNumber(n *big.Int) Extension {
	return Extension{ID: OIDCRLNumber, Value: der(func(b *cryptobyte.Builder) { b.AddASN1BigInt(n) })}
}

func (r Revoked) encode(b *cryptobyte.Builder, v1 bool) {
	at := r.At
	if at.IsZero() {
		at = time.Now().Add(-time.Hour)
	}
	exts := r.Ext
	if r.Reason != 0 {
		exts = append([]Extension{{ID: OIDReasonCode, Value: der(func(b *cryptobyte.Builder) {
			b.AddASN1Enum(int64(r.Reason))
		})}}, exts...)
	}
	b.AddASN1BigInt(r.Serial)
	addTime(b, at)
	if len(exts) > 0 && !v1 {
		addExtensions(b, exts)
	}
}

func (p *IDP) extension() Extension {
	flag := func(b *cryptobyte.Builder, tag uint8, on bool) {
		if on {
			b.AddASN1(cbasn1.Tag(tag).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddUint8(0xff) })
		}
	}
	return Extension{ID: OIDIssuingDistPoint, Critical: true, Value: der(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			if len(p.Names) > 0 {
				addPointName(b, p.Names)
			}
			flag(b, 1, p.OnlyUser)
			flag(b, 2, p.OnlyCA)
			if p.OnlySomeReasons {
				b.AddASN1(cbasn1.Tag(3).ContextSpecific(), func(b *cryptobyte.Builder) {
					b.AddBytes([]byte{6, 0x40}) // bit 1, keyCompromise
				})
			}
			flag(b, 4, p.Indirect)
			flag(b, 5, p.OnlyAttribute)
		})
	})}
}
