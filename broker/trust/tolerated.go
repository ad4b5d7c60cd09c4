package trust

import "slices"

// Tolerated lists what would have refused the certificate under a stricter policy: crl_stale under
// crl_policy grace or warn, ocsp_unavailable under ocsp lax. They are counted and audited (T57, T61).
func (v *Verified) Tolerated() []Reason {
	var out []Reason
	add := func(r Reason) {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	for _, run := range v.Report.runs {
		for _, st := range run.statuses {
			if !run.accepted {
				continue
			}
			if st.crl.state == crlStale || st.crl.state == crlMissing {
				add(CRLStale)
			}
			if st.ocsp.state == ocspUnavailable {
				add(OCSPUnavailable)
			}
		}
	}
	return out
}
