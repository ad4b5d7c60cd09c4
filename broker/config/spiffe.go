package config

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// validTrustDomain follows the SPIFFE ID specification, section 2.1.
func validTrustDomain(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789.-_", r)
	})
}

// workloadAPI checks the endpoint's form as the SPIFFE Workload Endpoint specification gives it:
// unix:///ABSOLUTE/PATH, or tcp://IP:PORT.
func (d *decoder) workloadAPI(a *hcl.Attribute, s string) {
	u, err := url.Parse(s)
	if err == nil && u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		switch u.Scheme {
		case "unix":
			if u.Host == "" && strings.HasPrefix(u.Path, "/") && u.Path != "/" {
				return
			}
		case "tcp":
			if _, err := netip.ParseAddrPort(u.Host); err == nil && u.Path == "" {
				return
			}
		}
	}
	d.errorf(a.Expr.Range(), "Not a Workload API address", "workload_api takes \"unix:///run/spire/agent.sock\" or \"tcp://127.0.0.1:8081\", not %q.", s)
}
