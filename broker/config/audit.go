package config

import (
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/pgsignet/pgsignet/policy"
)

type auditBlock struct {
	Directory         *hcl.Attribute `hcl:"directory"`
	Level             *hcl.Attribute `hcl:"level,optional"`
	Delivery          *hcl.Attribute `hcl:"delivery,optional"`
	SegmentSize       *hcl.Attribute `hcl:"segment_size,optional"`
	SegmentAge        *hcl.Attribute `hcl:"segment_age,optional"`
	MaxStatementBytes *hcl.Attribute `hcl:"max_statement_bytes,optional"`
	CheckpointKey     *hcl.Attribute `hcl:"checkpoint_key,optional"`
	Redact            *hcl.Attribute `hcl:"redact,optional"`
	Sinks             []sinkBlock    `hcl:"sink,block"`
	DefRange          hcl.Range      `hcl:",def_range"`
}

func (b auditBlock) at() hcl.Range { return b.DefRange }

type sinkBlock struct {
	Kind      string    `hcl:"kind,label"`
	KindRange hcl.Range `hcl:"kind,label_range"`
	Body      hcl.Body  `hcl:",remain"`
	DefRange  hcl.Range `hcl:",def_range"`
}

type postgresSinkBlock struct {
	DSNFile *hcl.Attribute `hcl:"dsn_file"`
	Table   *hcl.Attribute `hcl:"table,optional"`
}

type syslogSinkBlock struct {
	Address  *hcl.Attribute `hcl:"address"`
	CAFile   *hcl.Attribute `hcl:"ca_file,optional"`
	CertFile *hcl.Attribute `hcl:"cert_file,optional"`
	KeyFile  *hcl.Attribute `hcl:"key_file,optional"`
}

func (d *decoder) audit(b *auditBlock) Audit {
	if b == nil {
		d.failf("Missing audit block", "Every access is recorded; say where: audit { directory = \"/var/lib/pgsignet/audit\" }.")
		return Audit{}
	}
	d.required(b.DefRange, b.Directory, "directory", `"/var/lib/pgsignet/audit"`)
	directory, key := d.file(b.Directory), d.file(b.CheckpointKey)
	d.auditDirectory(directory)
	d.checkpointKey(key)
	a := Audit{
		Directory:         directory.path,
		Level:             d.choice(b.Level, "statement", "session", "full"),
		Delivery:          d.choice(b.Delivery, "best_effort", "strict"),
		SegmentSize:       d.size(b.SegmentSize, 256<<20, 64<<10, 64<<30),
		SegmentAge:        d.duration(b.SegmentAge, 24*time.Hour, time.Second),
		MaxStatementBytes: d.size(b.MaxStatementBytes, 16<<10, 64, 16<<20),
		CheckpointKey:     key.path,
		Redact:            d.redact(b.Redact),
	}
	for i := range b.Sinks {
		a.Sinks = append(a.Sinks, d.sink(&b.Sinks[i]))
	}
	if a.CheckpointKey == "" && a.Directory != "" {
		a.CheckpointKey = filepath.Join(a.Directory, "audit.key")
	}
	return a
}

// redact checks that each expression compiles.
func (d *decoder) redact(a *hcl.Attribute) []string {
	var out []string
	for _, it := range d.list(a) {
		re, err := regexp.Compile(it.text)
		switch {
		case err != nil:
			d.errorf(it.at, "Bad regular expression", "%v. redact takes RE2 expressions (https://golang.org/s/re2syntax).", err)
		case re.MatchString(""):
			d.errorf(it.at, "Expression matches nothing at all", "%q also fits the empty string, so it would put *** between all letters; make it need at least one character.", it.text)
		default:
			out = append(out, it.text)
		}
	}
	return out
}

func (d *decoder) sink(b *sinkBlock) Sink {
	switch b.Kind {
	case SinkPostgres:
		var pg postgresSinkBlock
		d.decode(b.Body, &pg)
		d.required(b.DefRange, pg.DSNFile, "dsn_file", `"secrets/audit-dsn"`)
		dsn := d.file(pg.DSNFile)
		d.secret(dsn)
		return Sink{Kind: b.Kind, DSNFile: dsn.path, Table: d.text(pg.Table, "pgsignet_audit")}
	case SinkSyslog:
		return d.syslog(b)
	}
	kinds := []string{SinkPostgres, SinkSyslog}
	d.errorf(b.KindRange, "Unknown sink", "A sink is one of %s, not %q.%s", strings.Join(kinds, ", "), b.Kind, policy.Suggest(b.Kind, kinds))
	return Sink{}
}

func (d *decoder) syslog(b *sinkBlock) Sink {
	var sl syslogSinkBlock
	d.decode(b.Body, &sl)
	d.required(b.DefRange, sl.Address, "address", `"tls://logs.example.com:6514"`)
	ca, cert, key := d.file(sl.CAFile), d.file(sl.CertFile), d.file(sl.KeyFile)
	if sl.CAFile != nil {
		d.anchors("The log server's CA", []file{ca})
	}
	switch {
	case sl.CertFile != nil && sl.KeyFile != nil:
		d.clientCertificate("the log server", cert, key)
	case sl.CertFile != nil || sl.KeyFile != nil:
		d.errorf(b.DefRange, "Half a key pair", "A certificate for the log server needs cert_file and key_file together.")
	}
	s := Sink{Kind: b.Kind, Address: d.syslogAddress(sl.Address), CAFile: ca.path, CertFile: cert.path, KeyFile: key.path}
	if s.Address != "" && !strings.HasPrefix(s.Address, "tls:") && (sl.CAFile != nil || sl.CertFile != nil || sl.KeyFile != nil) {
		d.warnf(sl.Address.Range, "No TLS", "ca_file, cert_file and key_file are for tls://HOST:PORT, and do nothing for %s.", s.Address)
	}
	return s
}

// syslogAddress is a URL: tls://HOST:PORT, tcp://HOST:PORT, udp://HOST:PORT or unix:///PATH.
func (d *decoder) syslogAddress(a *hcl.Attribute) string {
	if a == nil {
		return ""
	}
	s := d.need(a)
	u, err := url.Parse(s)
	if s == "" || err == nil && validSyslogURL(u) {
		return s
	}
	d.errorf(a.Expr.Range(), "Not a syslog address", "address takes \"tls://HOST:PORT\", \"tcp://HOST:PORT\", \"udp://HOST:PORT\" or \"unix:///dev/log\", not %q.", s)
	return ""
}

func validSyslogURL(u *url.URL) bool {
	switch u.Scheme {
	case "tls", "tcp", "udp":
		_, _, err := net.SplitHostPort(u.Host)
		return err == nil && u.Path == ""
	case "unix":
		return u.Host == "" && len(u.Path) > 1
	}
	return false
}
