package config

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// crlWithoutEnd is how long a CRL without nextUpdate holds (T57).
const crlWithoutEnd = 24 * time.Hour

// maxCRLDirectory is how many files of a CRL directory are read.
const maxCRLDirectory = 10_000

// revocationList is a CRL and the file it was read from.
type revocationList struct {
	*x509.RevocationList
	path string
}

// crls checks the revocation lists of one listener: which are stale, which no CA signed, and which CAs
// have none. policy is the listener's crl_policy.
func (d *decoder) crls(files []file, cas []placed, policy string) {
	if len(files) == 0 {
		return
	}
	covered := make([]bool, len(cas))
	for _, f := range files {
		for _, list := range d.readCRLs(f) {
			d.checkCRL(f, list, cas, covered)
		}
	}
	for i, ca := range cas {
		if covered[i] {
			continue
		}
		consequence := "its certificates are refused (crl_stale)"
		if policy == "warn" {
			consequence = "its certificates cannot be revoked"
		}
		d.warnf(files[0].at, "No CRL for a CA", "None of the CRLs here is signed by %s of %s: %s.", subject(ca.cert), ca.file.path, consequence)
	}
}

// readCRLs reads a file, or each file of a directory, where what is no CRL is skipped (T53).
func (d *decoder) readCRLs(f file) []revocationList {
	info, err := os.Stat(f.path)
	if err != nil {
		d.unreadable(f, err)
		return nil
	}
	if info.IsDir() {
		return d.readCRLDirectory(f)
	}
	data, ok := d.read(f, maxCRLFile)
	if !ok {
		return nil
	}
	lists, err := parseCRLs(f.path, data)
	if err != nil {
		d.errorf(f.at, "Not a CRL", "%s: %v.", f.path, err)
	}
	return lists
}

func (d *decoder) readCRLDirectory(f file) []revocationList {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		d.unreadable(f, err)
		return nil
	}
	var lists []revocationList
	for _, e := range entries[:min(len(entries), maxCRLDirectory)] {
		path := filepath.Join(f.path, e.Name())
		if info, err := os.Stat(path); err != nil || info.Mode()&fs.ModeType != 0 {
			continue
		}
		data, err := readFile(path, maxCRLFile)
		if err == nil {
			var found []revocationList
			found, err = parseCRLs(path, data)
			lists = append(lists, found...)
		}
		if err != nil {
			d.warnf(f.at, "File skipped", "%s is not read as a CRL: %v.", path, err)
		}
	}
	return lists
}

// parseCRLs reads DER, or every X509 CRL block of PEM.
func parseCRLs(path string, data []byte) ([]revocationList, error) {
	if len(data) > 0 && data[0] == 0x30 { // an ASN.1 SEQUENCE
		list, err := x509.ParseRevocationList(data)
		if err != nil {
			return nil, err
		}
		return []revocationList{{list, path}}, nil
	}
	var lists []revocationList
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			continue
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return lists, err
		}
		lists = append(lists, revocationList{list, path})
	}
	if len(lists) == 0 {
		return nil, errors.New("neither DER nor PEM with BEGIN X509 CRL")
	}
	return lists, nil
}

// checkCRL finds the CAs that signed list, marks them covered, and reports a list that does not count.
func (d *decoder) checkCRL(f file, list revocationList, cas []placed, covered []bool) {
	issuer := nameText(list.RawIssuer)
	signed := false
	for i, ca := range cas {
		if bytes.Equal(list.RawIssuer, ca.cert.RawSubject) && list.CheckSignatureFrom(ca.cert) == nil {
			covered[i], signed = true, true
		}
	}
	if !signed && sameName(list, cas) { // another name: an intermediate's, which comes with the client
		d.warnf(f.at, "CRL with a foreign signature", "A CRL in %s names %s as issuer, but that CA's key here did not sign it; it does not count.", list.path, issuer)
	}
	end := list.NextUpdate
	if end.IsZero() {
		end = list.ThisUpdate.Add(crlWithoutEnd)
	}
	switch {
	case d.now.Before(list.ThisUpdate):
		d.warnf(f.at, "CRL not yet valid", "The CRL of %s in %s is of %s, later than this clock's %s; it does not count yet.", issuer, list.path, stamp(list.ThisUpdate), stamp(d.now))
	case d.now.After(end):
		d.warnf(f.at, "Stale CRL", "The CRL of %s in %s should have been replaced by %s; fetch a new one, crl_policy decides what happens meanwhile.", issuer, list.path, stamp(end))
	}
	if list.Number == nil {
		d.warnf(f.at, "CRL without a number", "The CRL of %s in %s has no CRLNumber; only its date tells a newer from an older one.", issuer, list.path)
	}
}

func sameName(list revocationList, cas []placed) bool {
	for _, ca := range cas {
		if bytes.Equal(list.RawIssuer, ca.cert.RawSubject) {
			return true
		}
	}
	return false
}
