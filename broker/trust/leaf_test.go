package trust

import (
	"math/big"
	"net/netip"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

var (
	oidTeam  = pki.OID{1, 3, 6, 1, 4, 1, 55555, 1, 1}
	critical = func(e pki.Extension) pki.Extension { e.Critical = true; return e }
)

// leafCase is one odd leaf of a good CA.
type leafCase struct {
	name  string
	shape pki.Shape
	want  want
}

func runLeaves(t *testing.T, f *fixture, cases []leafCase) {
	t.Helper()
	s := f.load(nil)
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.check(t, s, peer(t, f.client(tt.shape)), time.Now())
		})
	}
}

// TestA38ServerAuthOnly: a purpose that is not ours (T40).
func TestA38ServerAuthOnly(t *testing.T) {
	runLeaves(t, newFixture(t), []leafCase{
		{"serverAuth", pki.Shape{EKU: []pki.OID{pki.EKUServerAuth}}, no(EKU)},
		{"unknown purpose", pki.Shape{EKU: []pki.OID{oidTeam}}, no(EKU)},
		{"both", pki.Shape{EKU: []pki.OID{pki.EKUServerAuth, pki.EKUClientAuth}}, yes},
	})
}

// TestA40AnyOnly: as OpenSSL, unlike Go.
func TestA40AnyOnly(t *testing.T) {
	runLeaves(t, newFixture(t), []leafCase{
		{"any", pki.Shape{EKU: []pki.OID{pki.EKUAny}}, no(EKU)},
		{"any and serverAuth", pki.Shape{EKU: []pki.OID{pki.EKUAny, pki.EKUServerAuth}}, no(EKU)},
		{"any and clientAuth", pki.Shape{EKU: []pki.OID{pki.EKUAny, pki.EKUClientAuth}}, yes},
	})
}

// TestA41EmptyEKU: a list of no purpose is not "any".
func TestA41EmptyEKU(t *testing.T) {
	runLeaves(t, newFixture(t), []leafCase{{"empty", pki.Shape{EKU: []pki.OID{}}, want{"eku", "empty list"}}})
}

// TestA39NoEKU: passes as in PostgreSQL, and the report says so.
func TestA39NoEKU(t *testing.T) {
	f := newFixture(t)
	v := yes.check(t, f.load(nil), peer(t, f.client(pki.Shape{Omit: []pki.OID{pki.OIDExtKeyUsage}})), time.Now())
	for _, c := range v.Report.Checks() {
		if c.Name == "eku" && c.Cert == 0 && c.Evidence == "absent: any purpose, as in PostgreSQL and RFC 5280" {
			return
		}
	}
	t.Errorf("the report does not note the absent EKU: %+v", v.Report.Checks())
}

// TestA42IntermediateEKU: purposes nest up the chain.
func TestA42IntermediateEKU(t *testing.T) {
	f := newFixture(t)
	for _, tt := range []leafCase{
		{"serverAuth", pki.Shape{EKU: []pki.OID{pki.EKUServerAuth}}, no(EKU)},
		{"empty", pki.Shape{EKU: []pki.OID{}}, no(EKU)},
		{"any", pki.Shape{EKU: []pki.OID{pki.EKUAny}}, yes},
		{"clientAuth", pki.Shape{EKU: []pki.OID{pki.EKUClientAuth}}, yes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sub := f.Intermediate(f.Clients, tt.shape)
			tt.want.check(t, f.load(nil), peer(t, f.Issue(sub, pki.Shape{CN: "alice"})), time.Now())
		})
	}
}

// TestA43NoDigitalSignature: also a keyUsage without a bit, which Go reads as absent (T39).
func TestA43NoDigitalSignature(t *testing.T) {
	runLeaves(t, newFixture(t), []leafCase{
		{"keyEncipherment only", pki.Shape{KeyUsage: []pki.KeyUsageBit{pki.KeyEncipherment}}, no(KeyUsage)},
		{"no bit", pki.Shape{KeyUsage: []pki.KeyUsageBit{}}, want{"key_usage", "keyUsage: none"}},
		{"absent", pki.Shape{Omit: []pki.OID{pki.OIDKeyUsage}}, yes},
		{"with keyEncipherment", pki.Shape{KeyUsage: []pki.KeyUsageBit{pki.DigitalSignature, pki.KeyEncipherment}}, yes},
	})
}

// TestA44KeyCertSign: a leaf signs no certificates and no CRLs (T39).
func TestA44KeyCertSign(t *testing.T) {
	runLeaves(t, newFixture(t), []leafCase{
		{"keyCertSign", pki.Shape{KeyUsage: []pki.KeyUsageBit{pki.DigitalSignature, pki.KeyCertSign}}, no(KeyUsage)},
		{"cRLSign", pki.Shape{KeyUsage: []pki.KeyUsageBit{pki.DigitalSignature, pki.CRLSign}}, no(KeyUsage)},
	})
}

// TestCAKeyUsage: an intermediate has keyCertSign, or no key usage (T39).
func TestCAKeyUsage(t *testing.T) {
	f := newFixture(t)
	for _, tt := range []leafCase{
		{"without keyCertSign", pki.Shape{KeyUsage: []pki.KeyUsageBit{pki.CRLSign}}, no(KeyUsage)},
		{"no bit", pki.Shape{KeyUsage: []pki.KeyUsageBit{}}, no(KeyUsage)},
		{"absent", pki.Shape{Omit: []pki.OID{pki.OIDKeyUsage}}, yes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sub := f.Intermediate(f.Clients, tt.shape)
			tt.want.check(t, f.load(nil), peer(t, f.Issue(sub, pki.Shape{CN: "alice"})), time.Now())
		})
	}
}

// TestA45CALeaf: CA:TRUE does not log in.
func TestA45CALeaf(t *testing.T) {
	f := newFixture(t)
	runLeaves(t, f, []leafCase{
		{"CA", pki.Shape{IsCA: true}, no(IsCA)},
		{"CA that may sign", pki.Shape{IsCA: true, KeyUsage: []pki.KeyUsageBit{pki.DigitalSignature}, EKU: []pki.OID{pki.EKUClientAuth}}, no(IsCA)},
	})
}

// TestA48Versions: v1 without extensions is what OpenSSL 3.0 writes (T38, T36).
func TestA48Versions(t *testing.T) {
	f := newFixture(t)
	ext := []pki.Extension{pki.SubjectAltName(pki.DNSName("alice.example"))}
	runLeaves(t, f, []leafCase{
		{"v1", pki.Shape{Version: 1}, yes},
		{"v1 with extensions", pki.Shape{Version: 1, Ext: ext}, want{"version", "v1 with extensions"}},
		{"v2", pki.Shape{Version: 2}, want{"version", "v2"}},
		{"v2 with extensions", pki.Shape{Version: 2, Ext: ext}, no(Version)},
	})
	ca := f.Root(pki.Shape{CN: "Ancient", Version: 1})
	f.cfg.ClientCA = []string{f.WriteCA(ca, "v1")}
	if _, err := Load(f.cfg, time.Now(), nil); err == nil {
		t.Error("a v1 CA was loaded")
	}
}

// TestA49NonCriticalBasicConstraints: as easy-rsa writes it; `check` warns (T46).
func TestA49NonCriticalBasicConstraints(t *testing.T) {
	f := newFixture(t)
	bc := pki.BasicConstraints(true, -1)
	bc.Critical = false
	ca := f.Root(pki.Shape{CN: "Easy", Omit: []pki.OID{pki.OIDBasicConstraints}, Ext: []pki.Extension{bc}})
	f.cfg.ClientCA = []string{f.WriteCA(ca, "easy")}
	s := f.load(nil)
	yes.check(t, s, peer(t, f.Issue(ca, pki.Shape{CN: "alice"})), time.Now())
	for _, k := range kinds(s) {
		if k == "anchor_form" {
			return
		}
	}
	t.Errorf("notices %v, want anchor_form", kinds(s))
}

// TestA50UnknownCriticalExtension: nobody here reads it (T43).
func TestA50UnknownCriticalExtension(t *testing.T) {
	f := newFixture(t)
	odd := pki.Shape{Ext: []pki.Extension{critical(pki.StringExtension(oidTeam, 0, "payments"))}}
	runLeaves(t, f, []leafCase{
		{"critical", odd, want{"critical_ext", "1.3.6.1.4.1.55555.1.1"}},
		{"not critical", pki.Shape{Ext: []pki.Extension{pki.StringExtension(oidTeam, 0, "payments")}}, yes},
	})
}

// TestA51CriticalCustomExtension: known when a rule reads it, on the leaf alone, and while it does (T43).
func TestA51CriticalCustomExtension(t *testing.T) {
	f := newFixture(t)
	odd := pki.Shape{Ext: []pki.Extension{critical(pki.StringExtension(oidTeam, 0, "payments"))}}
	p := peer(t, f.client(odd))
	before := f.load(nil)
	no(CriticalExt).check(t, before, p, time.Now())
	f.cfg.MappedOIDs = []string{oidTeam.String()}
	mapped := f.load(before)
	v := yes.check(t, mapped, p, time.Now())
	if len(p[0].UnhandledCriticalExtensions) != 1 {
		t.Error("the presented certificate was changed: crypto/tls shares it")
	}
	// The rule is taken out: the remembered chain must not serve any more.
	f.cfg.MappedOIDs = nil
	after := f.load(mapped)
	no(CriticalExt).check(t, after, p, time.Now())
	if _, err := after.Recheck(v, time.Now()); err == nil {
		t.Error("Recheck kept a session whose critical extension nobody reads any more")
	}

	f.cfg.MappedOIDs = []string{oidTeam.String()}
	sub := f.Intermediate(f.Clients, odd)
	no(CriticalExt).check(t, f.load(nil), peer(t, f.Issue(sub, pki.Shape{CN: "alice"})), time.Now())
}

// TestA55KeysAndSerials (T41, T42).
func TestA55KeysAndSerials(t *testing.T) {
	f := newFixture(t)
	long := new(big.Int).Lsh(big.NewInt(1), 160) // 21 octets
	runLeaves(t, f, []leafCase{
		{"RSA-1024", pki.Shape{Kind: pki.RSA1024}, no(WeakKey)},
		{"RSA-2047", pki.Shape{Kind: pki.RSA2047}, no(WeakKey)},
		{"RSA-2052", pki.Shape{Kind: pki.RSA2052}, no(WeakKey)},
		{"RSA-2048", pki.Shape{Kind: pki.RSA2048}, yes},
		{"P-224", pki.Shape{Kind: pki.P224}, no(WeakKey)},
		{"P-384", pki.Shape{Kind: pki.P384}, yes},
		{"P-521", pki.Shape{Kind: pki.P521}, yes},
		{"Ed25519", pki.Shape{Kind: pki.Ed25519}, yes},
		{"DSA", pki.Shape{SPKI: pki.DSASPKI()}, no(WeakKey)},
		{"serial 0", pki.Shape{Serial: big.NewInt(0)}, no(Serial)},
		{"serial of 21 octets", pki.Shape{Serial: long}, no(Serial)},
		{"serial of 20 octets", pki.Shape{Serial: new(big.Int).Rsh(long, 2)}, yes},
		{"serial of 160 bits", pki.Shape{Serial: new(big.Int).Sub(long, big.NewInt(1))}, no(Serial)},
	})
	for _, kind := range []pki.KeyKind{pki.RSA1024, pki.RSA2047, pki.RSA2052, pki.P224} {
		ca := f.Root(pki.Shape{CN: "Weak", Kind: kind})
		f.cfg.ClientCA = []string{f.WriteCA(ca, "weak")}
		if _, err := Load(f.cfg, time.Now(), nil); err == nil {
			t.Errorf("a CA with %s was loaded", kind)
		}
	}
}

// TestA55WeakSignatures: SHA-1 and MD5 by a trusted CA.
func TestA55WeakSignatures(t *testing.T) {
	f := newFixture(t)
	rsaCA := f.Root(pki.Shape{CN: "RSA CA", Kind: pki.RSA2048})
	f.cfg.ClientCA = append(f.cfg.ClientCA, f.WriteCA(rsaCA, "rsa"))
	s := f.load(nil)
	for alg, ca := range map[pki.SigAlg]*pki.CA{
		pki.SHA1WithRSA: rsaCA, pki.MD5WithRSA: rsaCA, pki.ECDSAWithSHA1: f.Clients,
	} {
		no(SigAlg).check(t, s, peer(t, f.Issue(ca, pki.Shape{CN: "alice", SigAlg: alg})), time.Now())
	}
	yes.check(t, s, peer(t, f.Issue(rsaCA, pki.Shape{CN: "alice", SigAlg: pki.SHA256WithRSAPSS})), time.Now())
}

// TestWeakIntermediate: every key of the chain counts (T42).
func TestWeakIntermediate(t *testing.T) {
	f := newFixture(t)
	sub := f.Intermediate(f.Clients, pki.Shape{CN: "Sub", Kind: pki.RSA1024})
	want{"weak_key", `"CN=Sub"`}.check(t, f.load(nil), peer(t, f.Issue(sub, pki.Shape{CN: "alice"})), time.Now())
}

// TestCertLimits is A84's and A103's upper half (T17).
func TestCertLimits(t *testing.T) {
	f := newFixture(t)
	var names []pki.GeneralName
	for i := range 65 {
		names = append(names, pki.IPAddress(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})))
	}
	var ous []string
	for range 33 {
		ous = append(ous, "x")
	}
	runLeaves(t, f, []leafCase{
		{"64 names", pki.Shape{SAN: names[:64]}, yes},
		{"65 names", pki.Shape{SAN: names}, no(CertLimits)},
		{"33 attributes", pki.Shape{OU: ous}, no(CertLimits)},
		{"long value", pki.Shape{CN: string(make([]byte, 1025))}, no(CertLimits)},
		{"CN of 70 characters", pki.Shape{CN: "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"}, yes},
		{"64 KiB extension", pki.Shape{Ext: []pki.Extension{pki.StringExtension(oidTeam, 0, string(make([]byte, 64<<10)))}}, no(CertLimits)},
	})
}

// TestA52DuplicateExtension: crypto/x509 does not parse such a certificate, so that the handshake ends
// before it comes here; a CA like that is no anchor.
func TestA52DuplicateExtension(t *testing.T) {
	f := newFixture(t)
	twice := []pki.Extension{pki.KeyUsage(pki.DigitalSignature), pki.KeyUsage(pki.KeyCertSign)}
	if leaf := f.Issue(f.Clients, pki.Shape{CN: "alice", Ext: twice}); leaf.X509 != nil {
		t.Error("a certificate with an extension twice was parsed")
	}
	f.cfg.ClientCA = []string{f.WriteCA(f.Root(pki.Shape{CN: "Twice", Ext: twice}), "twice")}
	if _, err := Load(f.cfg, time.Now(), nil); err == nil {
		t.Error("a CA with an extension twice was loaded")
	}
}

// TestA53TrailingDER: bytes behind a standard extension, or behind its last field, which crypto/x509
// mostly skips; what other extensions hold is no affair of ours.
func TestA53TrailingDER(t *testing.T) {
	f := newFixture(t)
	behind := func(e pki.Extension, more ...byte) pki.Shape {
		e.Value = append(e.Value, more...)
		return pki.Shape{Omit: []pki.OID{e.ID}, Ext: []pki.Extension{e}}
	}
	ext := func(id pki.OID, value string) pki.Shape { return behind(pki.Extension{ID: id, Value: []byte(value)}) }
	oid := func(last int) pki.OID { return pki.OID{2, 5, 29, last} }
	runLeaves(t, f, []leafCase{
		{"keyUsage", behind(pki.KeyUsage(pki.DigitalSignature), 5, 0), no(IllegalValue)},
		{"keyUsage, a byte", behind(pki.KeyUsage(pki.DigitalSignature), 0), no(IllegalValue)},
		{"extKeyUsage", behind(pki.EKU(pki.EKUClientAuth), 5, 0), no(IllegalValue)},
		{"basicConstraints", behind(pki.BasicConstraints(false, -1), 5, 0), no(IllegalValue)},
		{"basicConstraints, a third field", ext(pki.OIDBasicConstraints, "\x30\x05\x01\x01\x00\x05\x00"), no(IllegalValue)},
		{"subjectAltName", behind(pki.SubjectAltName(pki.DNSName("a.b")), 5, 0), no(IllegalValue)},
		{"certificatePolicies", ext(oid(32), "\x30\x06\x30\x04\x06\x02\x2a\x03\x05\x00"), no(IllegalValue)},
		{"cRLDistributionPoints", behind(pki.DistributionPoints("http://a/"), 5, 0), no(IllegalValue)},
		{"authorityInfoAccess", behind(pki.OCSPServer("http://127.0.0.1:1/"), 5, 0), no(IllegalValue)},
		{"one that is not used here", ext(oid(9), "\x30\x00\x00"), no(IllegalValue)},
		{"not DER at all", ext(oid(9), "x"), no(IllegalValue)},
		{"basicConstraints that spells its default", ext(pki.OIDBasicConstraints, "\x30\x03\x01\x01\x00"), yes},
		{"basicConstraints without a field", ext(pki.OIDBasicConstraints, "\x30\x00"), yes},
		{"keyUsage with zeros at its end", ext(pki.OIDKeyUsage, "\x03\x02\x00\x80"), yes},
		{"text in a private extension", ext(pki.OID{1, 3, 6, 1, 4, 1, 55555, 9}, "just text"), yes},
	})
	s := f.load(nil)
	sub := f.Intermediate(f.Clients, func() pki.Shape {
		shape := behind(pki.KeyUsage(pki.KeyCertSign), 5, 0)
		shape.CN = "Sub"
		return shape
	}())
	no(IllegalValue).check(t, s, peer(t, f.Issue(sub, pki.Shape{CN: "alice"})), time.Now())
}
