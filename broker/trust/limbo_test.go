package trust

import (
	"bufio"
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/policy/identity"
)

var update = flag.Bool("update", false, "rewrite golden files")

// limboCase is one case of x509-limbo; see testdata/limbo/README.md.
type limboCase struct {
	ID             string     `json:"id"`
	ValidationKind string     `json:"validation_kind"`
	Trusted        []string   `json:"trusted_certs"`
	Untrusted      []string   `json:"untrusted_intermediates"`
	Peer           string     `json:"peer_certificate"`
	ValidationTime *time.Time `json:"validation_time"`
	CRLs           []string   `json:"crls"`
	Expected       string     `json:"expected_result"`
	ExpectedNames  []struct {
		Kind  string `json:"kind"`
		Value string `json:"value"`
	} `json:"expected_peer_names"`
}

// limboClock is used where a case names no time.
var limboClock = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func loadLimbo(t testing.TB) []limboCase {
	t.Helper()
	f, err := os.Open("testdata/limbo/x509-limbo.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Testcases []limboCase `json:"testcases"`
	}
	if err := json.NewDecoder(z).Decode(&file); err != nil {
		t.Fatal(err)
	}
	return file.Testcases
}

// inapplicable are the reasons of skipped.txt for which a certificate may pass that upstream refuses: what is
// tested there is no duty of who verifies a client.
var inapplicable = []string{
	"no peer name for a client",
	"a client's CN need not repeat a SAN",
	"no public suffix list for a client",
	"key identifiers are the issuer's duty, without effect on trust (T46)",
	"another duty of the issuer (T46, T56)",
	"a rule of the WebPKI alone (T38, T40)",
	"an absent extended key usage passes (T40), as a conflicting case expects",
	"name constraints count, critical or not (T44), as a conflicting case expects",
	"there is no depth option",
}

// readTable reads "id<TAB>value" lines.
func readTable(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if id, v, ok := strings.Cut(lines.Text(), "\t"); ok && !strings.HasPrefix(id, "#") {
			table[id] = v
		}
	}
	return table
}

// TestLimbo runs every vector through the client verifier and compares verdict and reason.
func TestLimbo(t *testing.T) {
	cases := loadLimbo(t)
	skipped := readTable(t, "testdata/limbo/skipped.txt")
	const goldenFile = "testdata/limbo/verdicts.golden"
	got := map[string]string{}
	wrong := map[string]string{}
	for _, c := range cases {
		got[c.ID] = c.run(t)
		if ok := got[c.ID] == "ok"; ok != (c.Expected == "SUCCESS") {
			wrong[c.ID] = fmt.Sprintf("upstream expects %s, got %s", c.Expected, got[c.ID])
		}
	}
	for _, id := range sortedKeys(wrong) {
		if _, ok := skipped[id]; !ok {
			t.Errorf("%s: %s", id, wrong[id])
		} else if got[id] == "ok" && !slices.Contains(inapplicable, skipped[id]) {
			t.Errorf("%s: a false accept: %q is no reason for which a vector does not apply", id, skipped[id])
		}
	}
	for _, id := range sortedKeys(skipped) {
		if _, ok := got[id]; !ok {
			t.Errorf("%s: in skipped.txt, not in the vectors", id)
		} else if _, ok := wrong[id]; !ok {
			t.Errorf("%s: in skipped.txt, but agrees with upstream: take it out", id)
		}
	}
	if *update {
		var b strings.Builder
		for _, id := range sortedKeys(got) {
			fmt.Fprintf(&b, "%s\t%s\n", id, got[id])
		}
		if err := os.WriteFile(goldenFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden := readTable(t, goldenFile)
	for _, id := range sortedKeys(got) {
		if golden[id] != got[id] {
			t.Errorf("%s: got %s, golden file says %q", id, got[id], golden[id])
		}
	}
	if len(golden) != len(got) || len(got) != 193 {
		t.Errorf("%d cases, %d in the golden file, want 193", len(got), len(golden))
	}
	t.Logf("%d vectors: %d agree with upstream, %d skipped with a reason", len(got), len(got)-len(wrong), len(skipped))
}

// run returns the verdict in the words of the golden file.
func (c *limboCase) run(t *testing.T) string {
	t.Helper()
	purpose := x509.ExtKeyUsageClientAuth
	if c.ValidationKind == "SERVER" {
		purpose = x509.ExtKeyUsageServerAuth
	}
	peer, err := parseAll(append([]string{c.Peer}, c.Untrusted...))
	if err != nil {
		return "parse"
	}
	anchors, err := parseAll(c.Trusted)
	if err != nil {
		return "load"
	}
	set, err := newAnchorSet(anchors)
	if err != nil {
		return "load"
	}
	s := bareSnapshot(set)
	s.purpose = purpose
	if len(c.CRLs) > 0 {
		if s.crls, err = storeOf([]byte(strings.Join(c.CRLs, "\n"))); err != nil {
			return "load"
		}
	}
	now := limboClock
	if c.ValidationTime != nil {
		now = *c.ValidationTime
	}
	v, err := s.Verify(t.Context(), peer, nil, now)
	if err != nil {
		r, ok := errors.AsType[*Refusal](err)
		if !ok || !strings.Contains(r.Error(), r.Reason()) {
			t.Errorf("%s: error is no *Refusal: %v", c.ID, err)
		}
		checkPublicText(t, c.ID, r)
		return r.Reason()
	}
	if len(v.Chains) == 0 || v.Leaf != peer[0] {
		t.Errorf("%s: accepted without a chain", c.ID)
	}
	for _, n := range c.ExpectedNames {
		id, err := identity.Extract(v.Leaf, nil)
		if n.Kind == "RFC822" && (err != nil || !slices.Contains(id.Email, n.Value)) {
			t.Errorf("%s: e-mail %q expected, have %+v, %v", c.ID, n.Value, id, err)
		}
	}
	return "ok"
}

func parseAll(pems []string) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, p := range pems {
		b, _ := pem.Decode([]byte(p))
		if b == nil {
			return nil, errors.New("no PEM")
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// bareSnapshot verifies under set, without files.
func bareSnapshot(set *anchorSet) *Snapshot {
	return &Snapshot{
		clients: set, purpose: x509.ExtKeyUsageClientAuth, mapped: map[string]bool{},
		cache: newChainCache(), ocsp: newOCSPCache(time.Now),
	}
}

// storeOf is a store of the lists in data, without files.
func storeOf(data []byte) (*crlStore, error) {
	lists, err := parseCRLs("memory", data)
	if err != nil {
		return nil, err
	}
	st := &crlStore{files: map[string]*crlFile{"memory": {lists: lists}}, byIssuer: map[string][]*crl{}, chosen: map[fingerprint][]*crl{}}
	st.index()
	return st, nil
}

// checkPublicText: what a client sees is short printable ASCII and never Go's own words.
func checkPublicText(t testing.TB, name string, r *Refusal) {
	t.Helper()
	for _, s := range []string{r.Public(), r.Detail(), r.Hint()} {
		if ascii(s) != s && len(s) <= maxText || len(s) > 4*maxText || strings.Contains(s, "x509:") {
			t.Errorf("%s: text %q is not fit for a client", name, s)
		}
	}
	if r.Public() == "" {
		t.Errorf("%s: %s has no public text", name, r.Reason())
	}
}
