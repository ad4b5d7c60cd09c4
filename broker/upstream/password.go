package upstream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
)

// maxPassword is the longest password taken from a file, in bytes. libpq's limit is 1024.
const maxPassword = 1 << 10

// PasswordFile is the credential "password": SCRAM-SHA-256 with channel binding, for servers that
// take no client certificate (T76). The file is read at every dial, so that a new password counts
// from the next connection. Nothing of it gets into an error.
type PasswordFile struct {
	// Path names the file; "{role}" in it is replaced by the role.
	Path string
	// Read returns the file's content. It must refuse what other users could read or replace (T82).
	Read func(path string) ([]byte, error)
}

// TLSCertificate returns none.
func (PasswordFile) TLSCertificate(string) (*tls.Certificate, error) { return nil, nil }

// Password reads the role's password. One line ending at the end of the file is not part of it.
func (f PasswordFile) Password(role string) (string, error) {
	path, err := f.path(role)
	if err != nil {
		return "", noCredential(err)
	}
	data, err := f.Read(path)
	if err != nil {
		return "", noCredential(fmt.Errorf("password file: %w", err))
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if password == "" || len(password) > maxPassword || strings.ContainsAny(password, "\x00\n") {
		return "", noCredential(fmt.Errorf("password file %s: want one line of 1 to %d bytes", path, maxPassword))
	}
	return password, nil
}

// path puts the role into the path as one file name that stays where it is: no separator, and not
// a name with a meaning of its own, such as `..` or the `..data` of a Kubernetes volume.
func (f PasswordFile) path(role string) (string, error) {
	if role == "" || strings.HasPrefix(role, ".") || strings.ContainsAny(role, "/\\\x00") {
		return "", errors.New("the role's name cannot be a file name")
	}
	return strings.ReplaceAll(f.Path, "{role}", role), nil
}
