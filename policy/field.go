package policy

import "github.com/pgsignet/pgsignet/policy/identity"

// Field is an attribute of `match`: one part of a certificate's identity.
type Field uint8

// The fields, in the order of configuration's table.
const (
	FieldCN Field = iota + 1
	FieldO
	FieldOU
	FieldDN
	FieldEmail
	FieldDNS
	FieldURI
	FieldIP
	FieldSPIFFE
	FieldIssuer
	FieldSerial
	FieldSHA256
	FieldSPKISHA256
	FieldAnchor
	FieldExtension
)

// fieldNames holds each Field's name at its own number.
var fieldNames = [...]string{"", "cn", "o", "ou", "dn", "email", "dns", "uri", "ip", "spiffe",
	"issuer", "serial", "sha256", "spki_sha256", "anchor", "extension"}

// String is the attribute's name in `match`.
func (f Field) String() string {
	if int(f) < len(fieldNames) {
		return fieldNames[f]
	}
	return "unknown"
}

// Fields lists every attribute of `match`, in the order it is documented.
func Fields() []Field {
	all := make([]Field, 0, len(fieldNames)-1)
	for f := FieldCN; f <= FieldExtension; f++ {
		all = append(all, f)
	}
	return all
}

// fieldRef is where a condition looks in an identity.
type fieldRef struct {
	field Field
	oid   string
	deny  bool // a deny also sees what is too ambiguous for a map (T18, T26)
}

// values returns the field's values in certificate order, none of them empty. The result may
// be backed by one, and is valid until one is used again. FieldIP is not among them.
func (f fieldRef) values(id *identity.Identity, one *[1]string) []string {
	switch f.field {
	case FieldCN:
		if f.deny {
			return id.CNs
		}
		return single(id.CN, one)
	case FieldO:
		return id.O
	case FieldOU:
		return id.OU
	case FieldEmail:
		return id.Email
	case FieldDNS:
		return id.DNS
	case FieldURI:
		return id.URI
	case FieldAnchor:
		return id.Anchors
	case FieldSPIFFE:
		if f.deny && id.SPIFFE == "" {
			return spiffeURIs(id)
		}
		return single(id.SPIFFE, one)
	}
	return single(f.scalar(id), one)
}

// scalar returns the fields that a certificate has once at most.
func (f fieldRef) scalar(id *identity.Identity) string {
	switch f.field {
	case FieldDN:
		return id.DN
	case FieldIssuer:
		return id.Issuer
	case FieldSerial:
		return id.Serial
	case FieldSHA256:
		return id.SHA256
	case FieldSPKISHA256:
		return id.SPKISHA256
	case FieldExtension:
		return id.Extension[f.oid]
	}
	return ""
}

// single is a list of v, or of nothing when v is empty.
func single(v string, one *[1]string) []string {
	if v == "" {
		return nil
	}
	one[0] = v
	return one[:]
}

// spiffeURIs lists the SPIFFE IDs of a certificate that has too many names to have one.
func spiffeURIs(id *identity.Identity) []string {
	var out []string
	for _, u := range id.URI {
		if len(u) > len("spiffe://") && u[:len("spiffe://")] == "spiffe://" {
			out = append(out, u)
		}
	}
	return out
}
