// Package identity turns the leaf certificate of a verified chain into the fields that rules match.
//
// It reads RawSubject, RawIssuer and the raw extension values itself, and refuses what two readers
// could understand differently. It never uses Subject.CommonName (Go: the last CN; PostgreSQL: the
// first), pkix.Name.String (reorders and merges), URIs (decoded) or EmailAddresses.
//
// It does not verify a chain, does not look at dates, and decides nothing: a rule does that.
package identity
