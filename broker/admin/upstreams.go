package admin

import (
	"strconv"
	"time"
)

// UpstreamGauge is what the broker trusts an upstream by and logs in to it with.
type UpstreamGauge struct {
	Name         string
	Successful   bool // the last reload of its files was taken
	LastSuccess  time.Time
	Certificates []CertificateGauge // Listener is empty
}

var (
	descUpstreamReload    = desc("upstream_last_reload_successful", "Whether an upstream's last reload of certificates was taken.", "upstream")
	descUpstreamReloadAt  = desc("upstream_last_reload_success_timestamp_seconds", "When an upstream's certificates were last taken.", "upstream")
	descUpstreamNotBefore = desc("upstream_certificate_not_before_timestamp_seconds", "Beginning of a certificate loaded for an upstream.", "upstream", "kind", "position")
	descUpstreamNotAfter  = desc("upstream_certificate_not_after_timestamp_seconds", "End of a certificate loaded for an upstream.", "upstream", "kind", "position")
)

func (u UpstreamGauge) collect(set setter) {
	set(descUpstreamReload, flag(u.Successful), u.Name)
	set(descUpstreamReloadAt, unix(u.LastSuccess), u.Name)
	for _, c := range u.Certificates {
		set(descUpstreamNotBefore, unix(c.NotBefore), u.Name, c.Kind, strconv.Itoa(c.Position))
		set(descUpstreamNotAfter, unix(c.NotAfter), u.Name, c.Kind, strconv.Itoa(c.Position))
	}
}
