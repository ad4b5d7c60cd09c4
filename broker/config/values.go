package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/pgsignet/pgsignet/policy"
)

// credentialsPrefix starts a path below the directory systemd hands credentials over in.
const credentialsPrefix = "$CREDENTIALS_DIRECTORY/"

// maxDuration bounds every duration: more than this is a slip of the pen.
const maxDuration = 10 * 365 * 24 * time.Hour

// errorf reports an error at r, with summary as its heading.
func (d *decoder) errorf(r hcl.Range, summary, format string, args ...any) {
	d.diags = d.diags.Append(&hcl.Diagnostic{
		Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: r.Ptr(),
	})
}

// warnf reports a warning at r.
func (d *decoder) warnf(r hcl.Range, summary, format string, args ...any) {
	d.diags = d.diags.Append(&hcl.Diagnostic{
		Severity: hcl.DiagWarning, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: r.Ptr(),
	})
}

// friendly is what an attribute of a type takes, for messages.
var friendly = map[cty.Type]string{cty.Bool: "true or false", cty.Number: "a number", cty.String: "a string"}

// value evaluates e as a constant of type ty; ok is false when that was reported as an error.
func (d *decoder) value(name string, e hcl.Expression, ty cty.Type) (v cty.Value, ok bool) {
	v, diags := e.Value(nil)
	d.diags = append(d.diags, diags...)
	if diags.HasErrors() {
		return v, false
	}
	was := v.Type().FriendlyName()
	v, err := convert.Convert(v, ty)
	switch {
	case err != nil:
		d.errorf(e.Range(), "Wrong type", "%s takes %s, not %s.", name, friendly[ty], was)
		return v, false
	case v.IsNull():
		d.errorf(e.Range(), "Wrong type", "%s takes %s, not null; leave the line out to get the default.", name, friendly[ty])
		return v, false
	}
	return v, true
}

// required reports an attribute that is absent from the block at r, with an example of its value.
func (d *decoder) required(r hcl.Range, a *hcl.Attribute, name, example string) {
	if a == nil {
		d.errorf(r, "Missing "+name, "This block needs %s = %s.", name, example)
	}
}

// text is the attribute's string, or def when it is absent.
func (d *decoder) text(a *hcl.Attribute, def string) string {
	if a == nil {
		return def
	}
	v, ok := d.value(a.Name, a.Expr, cty.String)
	if !ok {
		return def
	}
	return v.AsString()
}

// need is text that must not be empty.
func (d *decoder) need(a *hcl.Attribute) string {
	if a == nil {
		return ""
	}
	v, ok := d.value(a.Name, a.Expr, cty.String)
	if !ok {
		return ""
	}
	if v.AsString() == "" {
		d.errorf(a.Expr.Range(), "Empty value", "%s must not be empty.", a.Name)
	}
	return v.AsString()
}

func (d *decoder) boolean(a *hcl.Attribute, def bool) bool {
	if a == nil {
		return def
	}
	v, ok := d.value(a.Name, a.Expr, cty.Bool)
	if !ok {
		return def
	}
	return v.True()
}

// number is a whole number within [low, high].
func (d *decoder) number(a *hcl.Attribute, def, low, high int) int {
	if a == nil {
		return def
	}
	v, ok := d.value(a.Name, a.Expr, cty.Number)
	if !ok {
		return def
	}
	n, accuracy := v.AsBigFloat().Int64()
	if accuracy != 0 || n < int64(low) || n > int64(high) {
		d.errorf(a.Expr.Range(), "Number out of range", "%s takes a whole number from %d to %d.", a.Name, low, high)
		return def
	}
	return int(n)
}

// duration is a Go duration of at least low.
func (d *decoder) duration(a *hcl.Attribute, def, low time.Duration) time.Duration {
	if a == nil {
		return def
	}
	text, ok := d.value(a.Name, a.Expr, cty.String)
	if !ok {
		return def
	}
	s := text.AsString()
	v, err := time.ParseDuration(s)
	if err != nil {
		d.errorf(a.Expr.Range(), "Not a duration", "%s takes a duration such as \"500ms\", \"30s\" or \"24h\", not %q%s.", a.Name, s, durationHint(s))
		return def
	}
	if v < low || v > maxDuration {
		d.errorf(a.Expr.Range(), "Duration out of range", "%s takes at least %q and at most %q.", a.Name, FormatDuration(low), FormatDuration(maxDuration))
		return def
	}
	return v
}

// durationHint proposes what s may have meant: a number without unit, or days.
func durationHint(s string) string {
	if _, err := strconv.ParseUint(s, 10, 32); err == nil {
		return fmt.Sprintf("; for seconds write %q", s+"s")
	}
	if n, err := strconv.ParseUint(strings.TrimSuffix(s, "d"), 10, 16); err == nil {
		return fmt.Sprintf("; for days write %q", strconv.FormatUint(n*24, 10)+"h")
	}
	if joined := strings.ReplaceAll(s, " ", ""); joined != s {
		if _, err := time.ParseDuration(joined); err == nil {
			return fmt.Sprintf("; write %q", joined)
		}
	}
	return ""
}

// FormatDuration writes d as the configuration does: without the zero units time.Duration.String appends.
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// sizeUnits are binary; the longest suffix comes first.
var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}}

// size is a number of bytes within [low, high].
func (d *decoder) size(a *hcl.Attribute, def, low, high int64) int64 {
	if a == nil {
		return def
	}
	text, ok := d.value(a.Name, a.Expr, cty.String)
	if !ok {
		return def
	}
	s := text.AsString()
	n, ok := parseSize(s)
	switch {
	case !ok:
		d.errorf(a.Expr.Range(), "Not a size", "%s takes a size such as \"8KiB\", \"256MiB\" or \"1GiB\", not %q.", a.Name, s)
		return def
	case n < low || n > high:
		d.errorf(a.Expr.Range(), "Size out of range", "%s takes a size from %s to %s.", a.Name, formatSize(low), formatSize(high))
		return def
	}
	return n
}

func parseSize(s string) (int64, bool) {
	for _, u := range sizeUnits {
		digits, found := strings.CutSuffix(s, u.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 32)
		return n * u.bytes, err == nil && n >= 0
	}
	return 0, false
}

func formatSize(n int64) string {
	for i := 3; i >= 0; i-- {
		if u := sizeUnits[i]; n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// choice is one of allowed; the first is the default.
func (d *decoder) choice(a *hcl.Attribute, allowed ...string) string {
	if a == nil {
		return allowed[0]
	}
	s := d.text(a, allowed[0])
	for _, v := range allowed {
		if v == s {
			return s
		}
	}
	d.errorf(a.Expr.Range(), "Unknown value", "%s is one of %s, not %q.%s", a.Name, strings.Join(allowed, ", "), s, policy.Suggest(s, allowed))
	return allowed[0]
}

// item is one string of a list, with its own place in the source.
type item struct {
	text string
	at   hcl.Range
}

// list is the attribute's strings, in order. A lone string is a list of one.
func (d *decoder) list(a *hcl.Attribute) []item {
	if a == nil {
		return nil
	}
	exprs := []hcl.Expression{a.Expr}
	if elems, diags := hcl.ExprList(a.Expr); !diags.HasErrors() {
		exprs = elems
	}
	items := make([]item, 0, len(exprs))
	for _, e := range exprs {
		if v, ok := d.value(a.Name, e, cty.String); ok {
			items = append(items, item{v.AsString(), e.Range()})
		}
	}
	return items
}

// prefixes is a list of CIDRs or single addresses, unmapped.
func (d *decoder) prefixes(a *hcl.Attribute) []netip.Prefix {
	var out []netip.Prefix
	for _, it := range d.list(a) {
		p, err := parsePrefix(it.text)
		if err != nil {
			d.errorf(it.at, "Not a CIDR", "%s takes networks such as \"10.0.0.0/8\" or \"2001:db8::/32\": %v.", a.Name, err)
			continue
		}
		out = append(out, p)
	}
	return out
}

// parsePrefix reads a CIDR or an address, IPv4-mapped ones as IPv4. Bits right of the mask must be
// zero: PostgreSQL ignores them in pg_hba.conf, but they mean that the mask or the address is wrong.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is neither an address nor a network", s)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p.Masked() != p {
		return p, fmt.Errorf("%q has bits set right of its mask; write %q", s, p.Masked())
	}
	return p, nil
}

// resolve makes a path absolute: a relative one starts at the file that names it.
func (d *decoder) resolve(it item) string {
	s := it.text
	if strings.ContainsRune(s, 0) {
		d.errorf(it.at, "Not a path", "A path cannot hold a NUL.")
		return ""
	}
	if rest, found := strings.CutPrefix(s, credentialsPrefix); found {
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			d.errorf(it.at, "No credentials directory", "The environment has no CREDENTIALS_DIRECTORY: systemd sets it for a unit with LoadCredential=.")
			return ""
		}
		s = filepath.Join(dir, rest)
	}
	if !filepath.IsAbs(s) {
		s = filepath.Join(filepath.Dir(it.at.Filename), s)
	}
	abs, err := filepath.Abs(s)
	if err != nil {
		d.errorf(it.at, "Not a path", "%v.", err)
		return ""
	}
	return abs
}
