// Package pki makes certificates, CRLs and OCSP responses of any shape for tests: well-formed ones
// in a line, and every malformed one that a hostile issuer or client could present.
//
// It builds TBSCertificate itself with cryptobyte and signs it, because x509.CreateCertificate
// refuses to write most bad certificates. It does not verify anything, and it is no CA for
// production or for development: that is broker/pki.
//
// A test usually needs three lines:
//
//	env := pki.New(t)                              // root, intermediate, server and client CA
//	alice := env.Client("alice")                   // fails the test on an error
//	odd, err := env.Clients.Issue(pki.Shape{Subject: pki.Name{pki.CN("a"), pki.CN("b")}})
//
// Everything below Env returns errors and needs no testing.T. Nothing here is safe for concurrent
// change, but a CA may issue from several goroutines at once.
package pki
