package identity

import (
	"crypto/x509"
)

// Limits of T17, in bytes unless they count. PostgreSQL has none of them; real certificates stay far below.
const (
	maxCertificate = 32 << 10
	maxSubject     = 4 << 10
	maxValue       = 1 << 10 // a subject attribute, a mapped extension
	maxAttributes  = 32      // count, in a subject
	maxNames       = 64      // count, in a SAN
)

// CheckLimits refuses a certificate that is larger than any honest one, before work is spent on it
// (T17). It fits any certificate of a presented chain. The error is an *Error: cert_limits, or
// illegal_value for a subject or a SAN that cannot be read.
func CheckLimits(cert *x509.Certificate) error {
	if n := len(cert.Raw); n > maxCertificate {
		return refuse(ReasonLimits, "certificate", "%d bytes, at most %d are allowed", n, maxCertificate)
	}
	if n := len(cert.RawSubject); n > maxSubject {
		return refuse(ReasonLimits, "subject", "%d bytes, at most %d are allowed", n, maxSubject)
	}
	rdns, err := ParseName(cert.RawSubject)
	if err != nil {
		return refuse(ReasonIllegal, "subject", "%v", err)
	}
	if err := checkSubject(rdns); err != nil {
		return err
	}
	return checkNames(cert)
}

func checkSubject(rdns []RDN) error {
	count := 0
	for _, rdn := range rdns {
		count += len(rdn.Attributes)
		for _, a := range rdn.Attributes {
			if n := len(a.Value); n > maxValue {
				return refuse(ReasonLimits, "subject "+typeName(a.Type), "%d bytes, at most %d are allowed", n, maxValue)
			}
		}
	}
	if count > maxAttributes {
		return refuse(ReasonLimits, "subject", "%d attributes, at most %d are allowed", count, maxAttributes)
	}
	return nil
}

func checkNames(cert *x509.Certificate) error {
	value, err := extension(cert, oidSubjectAltName)
	if err != nil || value == nil {
		return err
	}
	count := 0
	refused := eachGeneralName(value, func(uint8, []byte) *Error {
		count++
		return nil
	})
	if refused != nil {
		return refused
	}
	if count > maxNames {
		return refuse(ReasonLimits, "subjectAltName", "%d names, at most %d are allowed", count, maxNames)
	}
	return nil
}
