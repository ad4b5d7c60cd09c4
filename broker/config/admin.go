package config

import (
	"time"

	"github.com/hashicorp/hcl/v2"
)

type adminBlock struct {
	Address   *hcl.Attribute `hcl:"address,optional"`
	CertFile  *hcl.Attribute `hcl:"cert_file,optional"`
	KeyFile   *hcl.Attribute `hcl:"key_file,optional"`
	ClientCA  *hcl.Attribute `hcl:"client_ca,optional"`
	Socket    *hcl.Attribute `hcl:"socket,optional"`
	Database  *hcl.Attribute `hcl:"database,optional"`
	LocksFile *hcl.Attribute `hcl:"locks_file,optional"`
	DefRange  hcl.Range      `hcl:",def_range"`
}

type logBlock struct {
	Level  *hcl.Attribute `hcl:"level,optional"`
	Format *hcl.Attribute `hcl:"format,optional"`

	DefRange hcl.Range `hcl:",def_range"`
}

type shutdownBlock struct {
	DrainTimeout   *hcl.Attribute `hcl:"drain_timeout,optional"`
	UpgradeTimeout *hcl.Attribute `hcl:"upgrade_timeout,optional"`

	DefRange hcl.Range `hcl:",def_range"`
}

func (b adminBlock) at() hcl.Range    { return b.DefRange }
func (b logBlock) at() hcl.Range      { return b.DefRange }
func (b shutdownBlock) at() hcl.Range { return b.DefRange }

// defaultAdminAddress is where /metrics, /healthz and /readyz answer unless the file says otherwise.
const defaultAdminAddress = "127.0.0.1:9432"

// logLevels begin with the default.
var logLevels = []string{"info", "debug", "warn", "error"}

// admin decodes the admin block; an empty address switches HTTP off.
func (d *decoder) admin(b *adminBlock) Admin {
	if b == nil {
		b = &adminBlock{}
	}
	cert, key, cas := d.file(b.CertFile), d.file(b.KeyFile), d.files(b.ClientCA)
	a := Admin{
		Address:   defaultAdminAddress,
		CertFile:  cert.path,
		KeyFile:   key.path,
		ClientCA:  names(cas),
		Socket:    d.socketPath(d.file(b.Socket)),
		Database:  "pgsignet",
		LocksFile: d.locksFile(d.file(b.LocksFile)),
	}
	if b.CertFile != nil {
		d.serverCertificate("The admin certificate", cert, key)
	}
	d.adminCAs = append(d.adminCAs, d.anchors("The admin CA", cas)...)
	if b.Address != nil {
		if a.Address = d.text(b.Address, ""); a.Address != "" {
			a.Address = d.hostPort(b.Address, "")
		}
	}
	if b.Database != nil {
		a.Database = d.need(b.Database)
	}
	if (b.CertFile == nil) != (b.KeyFile == nil) {
		d.errorf(b.DefRange, "Half a key pair", "TLS for the admin address needs cert_file and key_file together.")
	}
	if b.ClientCA != nil && b.CertFile == nil {
		d.errorf(b.ClientCA.Range, "client_ca without TLS", "Client certificates are only asked for over TLS: add cert_file and key_file.")
	}
	return a
}

func (d *decoder) log(b *logBlock) Log {
	if b == nil {
		b = &logBlock{}
	}
	return Log{
		Level:  d.choice(b.Level, logLevels...),
		Format: d.choice(b.Format, "json", "console"),
	}
}

func (d *decoder) shutdown(b *shutdownBlock) Shutdown {
	if b == nil {
		b = &shutdownBlock{}
	}
	return Shutdown{
		DrainTimeout:   d.duration(b.DrainTimeout, 30*time.Second, 0),
		UpgradeTimeout: d.duration(b.UpgradeTimeout, 10*time.Minute, 0),
	}
}
