package trust

import (
	"crypto/x509"
	"errors"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// scope is what a list says it covers: its issuingDistributionPoint (RFC 5280, 5.2.5). The zero
// value covers every certificate of its issuer.
type scope struct {
	onlyUser, onlyCA bool
	points           []string // names of its distribution point, encoded; nil: not partitioned
	unusable         string   // why a list with it never counts
}

// parseScope reads issuingDistributionPoint.
func parseScope(value []byte) (scope, error) {
	s, seq := cryptobyte.String(value), cryptobyte.String(nil)
	if !s.ReadASN1(&seq, der.SEQUENCE) || !s.Empty() {
		return scope{}, errDistPoint
	}
	var sc scope
	var point cryptobyte.String
	var hasPoint bool
	if !seq.ReadOptionalASN1(&point, &hasPoint, der.Tag(0).ContextSpecific().Constructed()) {
		return scope{}, errDistPoint
	}
	if hasPoint {
		var ok bool
		if sc.points, ok = pointNames(point); !ok {
			sc.unusable = "its distribution point is named relative to its issuer"
		}
	}
	var attribute, indirect, reasons bool
	for _, flag := range []struct {
		tag uint8
		on  *bool
	}{{1, &sc.onlyUser}, {2, &sc.onlyCA}, {3, &reasons}, {4, &indirect}, {5, &attribute}} {
		var v cryptobyte.String
		var present bool
		if !seq.ReadOptionalASN1(&v, &present, der.Tag(flag.tag).ContextSpecific()) {
			return scope{}, errDistPoint
		}
		*flag.on = present && (flag.tag == 3 || len(v) != 1 || v[0] != 0)
	}
	switch {
	case !seq.Empty():
		return scope{}, errDistPoint
	case indirect:
		sc.unusable = "it is an indirect CRL"
	case reasons:
		sc.unusable = "it covers only some reasons"
	case attribute:
		sc.unusable = "it covers attribute certificates only"
	case sc.onlyUser && sc.onlyCA:
		sc.unusable = "it claims to cover only user and only CA certificates"
	}
	return sc, nil
}

var errDistPoint = errors.New("malformed issuing distribution point")

// pointNames reads a DistributionPointName; only the fullName form is understood.
func pointNames(s cryptobyte.String) (names []string, ok bool) {
	var full cryptobyte.String
	if !s.ReadASN1(&full, der.Tag(0).ContextSpecific().Constructed()) || !s.Empty() {
		return nil, false
	}
	for !full.Empty() {
		var name cryptobyte.String
		var tag der.Tag
		if !full.ReadAnyASN1Element(&name, &tag) {
			return nil, false
		}
		names = append(names, string(name))
	}
	return names, len(names) > 0
}

// certificatePoints are the names of a certificate's distribution points, encoded, but for those
// that are for some reasons only or whose list another CA issues.
func certificatePoints(c *x509.Certificate) []string {
	s, seq := cryptobyte.String(extensionValue(c, oidCRLDistPoints)), cryptobyte.String(nil)
	if !s.ReadASN1(&seq, der.SEQUENCE) {
		return nil
	}
	var all []string
	for !seq.Empty() {
		var point, name cryptobyte.String
		var present bool
		if !seq.ReadASN1(&point, der.SEQUENCE) ||
			!point.ReadOptionalASN1(&name, &present, der.Tag(0).ContextSpecific().Constructed()) {
			return all
		}
		if !present || !point.Empty() {
			continue
		}
		if names, ok := pointNames(name); ok {
			all = append(all, names...)
		}
	}
	return all
}

// covers says that the list is about this certificate (T55).
func (sc *scope) covers(sub *subject) bool {
	if sc.onlyUser && sub.isCA || sc.onlyCA && !sub.isCA {
		return false
	}
	return sc.points == nil || slices.ContainsFunc(sc.points, func(p string) bool { return slices.Contains(sub.points, p) })
}

// equal says that two lists of one issuer cover the same, so that the newer replaces the older.
func (sc *scope) equal(other *scope) bool {
	return sc.onlyUser == other.onlyUser && sc.onlyCA == other.onlyCA && slices.Equal(sc.points, other.points)
}
