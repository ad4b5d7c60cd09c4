package pgserver

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// Options say how a server differs from a plain one. The zero value starts any version without TLS.
type Options struct {
	Version int // major version; 0 takes whatever Find meets first

	// TLS material. With it, ssl is on and the default HBA asks for a client certificate.
	TLS TLS

	// HBA are pg_hba.conf lines that follow the two `local … trust` lines for the superuser's
	// socket. Nil means DefaultHBA with TLS, and scram-sha-256 on loopback without.
	HBA []string

	// Ident are pg_ident.conf lines. Nil means DefaultIdent.
	Ident []string

	// Settings go to postgresql.conf as they are, after the defaults.
	Settings map[string]string

	// CacheTemplate keeps initdb's result in CacheDir and copies it the next time: 0.1 s instead
	// of 1.5 s. Start sets it; the demo, which leaves nothing behind, does not.
	CacheTemplate bool

	// Logf gets one line that says which PostgreSQL is used. Nil: nobody hears it.
	Logf func(format string, args ...any)
}

// TLS names the server's certificate, its key, the CAs that sign client certificates and their
// revocation list. Each is the path of a PEM file, or PEM text itself. CRL may be empty.
type TLS struct {
	Cert, Key, CA, CRL string
}

func (t TLS) enabled() bool { return t.Cert != "" }

// DefaultHBA lets in, over TLS only, whoever shows a certificate of the CA whose CN pg_ident.conf maps
// to the role asked for. `all` does not cover physical replication, hence the second line.
var DefaultHBA = []string{
	"hostssl all all 127.0.0.1/32 cert map=pgsignet",
	"hostssl replication all 127.0.0.1/32 cert map=pgsignet",
}

// DefaultIdent maps every CN to the role of the same name.
var DefaultIdent = []string{`pgsignet /^(.*)$ \1`}

// plainHBA is the default without TLS. The port is on loopback, where anybody may come.
var plainHBA = []string{"host all all 127.0.0.1/32 scram-sha-256"}

// socketHBA gives the owner of the socket's folder, which is 0700, every role without a password.
var socketHBA = []string{"local all all trust", "local replication all trust"}

func (o *Options) hba() []string {
	lines := o.HBA
	switch {
	case lines != nil:
	case o.TLS.enabled():
		lines = DefaultHBA
	default:
		lines = plainHBA
	}
	return slices.Concat(socketHBA, lines)
}

func (o *Options) ident() []string {
	if o.Ident != nil {
		return o.Ident
	}
	return DefaultIdent
}

// ownsServer says that these options cannot be had from a server somebody else runs.
func (o *Options) ownsServer() bool {
	return o.TLS.enabled() || o.HBA != nil || o.Ident != nil || len(o.Settings) > 0
}

// settings are the lines of postgresql.conf: the tests' defaults, TLS, then what the caller wants.
func (s *Server) settings(o *Options) string {
	set := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    fmt.Sprint(s.Port),
		"unix_socket_directories": s.SocketDir,
		"max_connections":         "200",
		"shared_buffers":          "32MB",
		"fsync":                   "off",
		"full_page_writes":        "off",
		"log_connections":         "on",
		"log_disconnections":      "on",
		"log_line_prefix":         "%m [%p] %q%u@%d/%a ",
		"lc_messages":             "C",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"hba_file":                s.HBAFile(),
		"ident_file":              s.IdentFile(),
		// Dynamic shared memory as files of the data directory: a killed server leaves none behind.
		"dynamic_shared_memory_type": "mmap",
	}
	if o.TLS.enabled() {
		set["ssl"] = "on"
		set["ssl_cert_file"] = s.tlsFile("server.crt")
		set["ssl_key_file"] = s.tlsFile("server.key")
		set["ssl_ca_file"] = s.tlsFile("ca.crt")
		if o.TLS.CRL != "" {
			set["ssl_crl_file"] = s.tlsFile("ca.crl")
		}
	}
	for name, value := range o.Settings {
		set[name] = value
	}
	return settingLines(set)
}

func settingLines(set map[string]string) string {
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	sort.Strings(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(set[name], "'", "''"))
	}
	return b.String()
}

func (s *Server) tlsFile(name string) string { return filepath.Join(s.dir, "tls", name) }

// HBAFile is the path of the server's pg_hba.conf.
func (s *Server) HBAFile() string { return filepath.Join(s.dir, "pg_hba.conf") }

// IdentFile is the path of the server's pg_ident.conf.
func (s *Server) IdentFile() string { return filepath.Join(s.dir, "pg_ident.conf") }

// writeTLS copies the material to files only the server's user can read: PostgreSQL refuses a key
// that others may.
func (s *Server) writeTLS(t TLS) error {
	for name, source := range map[string]string{"server.crt": t.Cert, "server.key": t.Key, "ca.crt": t.CA, "ca.crl": t.CRL} {
		if source == "" {
			continue
		}
		pem, err := readPEM(source)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := s.user.writeFile(s.tlsFile(name), pem); err != nil {
			return err
		}
	}
	return nil
}

func readPEM(source string) ([]byte, error) {
	if strings.Contains(source, "-----BEGIN") {
		return []byte(source), nil
	}
	return os.ReadFile(source)
}

func lines(all []string) []byte { return []byte(strings.Join(all, "\n") + "\n") }
