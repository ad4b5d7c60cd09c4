package identity_test

import (
	"context"
	"crypto/tls"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/pgsignet/pgsignet/policy/identity"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// judge is a real PostgreSQL whose pg_ident.conf maps every identity to the role of the same name. The
// database's name chooses the identity: "cn" or "dn". No such role exists, so that a login which passes
// authentication ends right behind it.
type judge struct {
	env    *pki.Env
	server *pgserver.Server
}

func newJudge(t *testing.T) *judge {
	t.Helper()
	env := pki.New(t)
	leaf := env.Server()
	key, err := leaf.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return &judge{env: env, server: pgserver.Start(t, pgserver.Options{
		Version: 15,
		TLS:     pgserver.TLS{Cert: string(leaf.PEM()), Key: string(key), CA: string(env.Clients.CertPEM())},
		HBA: []string{
			"hostssl cn all 127.0.0.1/32 cert clientname=CN map=same",
			"hostssl dn all 127.0.0.1/32 cert clientname=DN map=same",
		},
		Ident: []string{`same /^(.*)$ \1`},
	})}
}

// verdict is what PostgreSQL makes of one login.
type verdict struct {
	admitted bool
	closed   bool   // without an answer: what PostgreSQL does to a NUL in a CN or DN
	dn       string // of its line "connection authenticated"; empty when there is none
	as       string // of its line "no match in usermap"; empty when there is none
}

var authenticatedAs = regexp.MustCompile(`no match in usermap "same" for user ".*" authenticated as "(.*)"`)

// login shows the certificate and asks for the user. PostgreSQL must answer, not close.
func (j *judge) login(t rapid.TB, leaf *pki.Leaf, user, database string) verdict {
	t.Helper()
	v := j.try(t, leaf, user, database)
	if v.closed {
		t.Fatalf("login as %q: PostgreSQL closed the connection", user)
	}
	return v
}

func (j *judge) try(t rapid.TB, leaf *pki.Leaf, user, database string) verdict {
	t.Helper()
	config, err := pgconn.ParseConfig(j.server.DSN("someone", database) + " sslmode=require")
	if err != nil {
		t.Fatal(err)
	}
	config.User = user
	config.TLSConfig = &tls.Config{
		RootCAs: j.env.Servers.Pool(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{leaf.TLS()},
	}
	mark := j.server.LogSize()
	conn, err := pgconn.ConnectConfig(context.Background(), config)
	if err == nil {
		_ = conn.Close(context.Background())
		t.Fatalf("login as %q succeeded, which no role of this server allows", user)
	}
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return verdict{closed: true}
	}
	log, err := j.server.LogFrom(mark)
	if err != nil {
		t.Fatal(err)
	}
	logins, err := j.server.Authentications(mark)
	if err != nil {
		t.Fatal(err)
	}
	v := verdict{admitted: strings.HasPrefix(refusal.Message, "role ")}
	if !v.admitted && !strings.HasPrefix(refusal.Message, "certificate authentication failed") {
		t.Fatalf("login as %q: unexpected answer %v", user, refusal)
	}
	if len(logins) == 1 {
		v.dn = logins[0].Identity
	}
	if m := authenticatedAs.FindStringSubmatch(log); m != nil {
		v.as = m[1]
	}
	return v
}

// maxRole is the longest role name in bytes (NAMEDATALEN - 1): PostgreSQL cuts the requested user there
// before it compares, and never the certificate's name (T12).
const maxRole = 63

// TestAsPostgreSQL compares the identity of random certificates with what PostgreSQL 15 logs and admits
// under clientname=CN and clientname=DN. Subjects hold only what T16 lets through.
func TestAsPostgreSQL(t *testing.T) {
	j := newJudge(t)
	rapid.Check(t, func(t *rapid.T) {
		leaf, err := j.env.Clients.Issue(pki.Shape{Subject: cleanName().Draw(t, "subject")})
		if err != nil {
			t.Fatal(err)
		}
		id, err := identity.Extract(leaf.X509, nil)
		if err != nil {
			t.Fatal(err)
		}
		compareCN(t, j, leaf, id)
		compareDN(t, j, leaf, id)
	})
}

func compareCN(t rapid.TB, j *judge, leaf *pki.Leaf, id *identity.Identity) {
	t.Helper()
	if id.Ambiguous { // T18: PostgreSQL takes the first
		if v := j.login(t, leaf, "another", "cn"); v.admitted || v.as != id.CNs[0] {
			t.Fatalf("of several CNs %q PostgreSQL reads %q, want the first", id.CNs, v.as)
		}
		return
	}
	user := id.CN
	if user == "" {
		user = "nobody"
	}
	v := j.login(t, leaf, user, "cn")
	if want := id.CN != "" && len(id.CN) <= maxRole; v.admitted != want || !v.admitted && v.as != id.CN {
		t.Fatalf("CN %q: PostgreSQL gives %+v, want admitted %v", id.CN, v, want)
	}
	if v := j.login(t, leaf, "another", "cn"); v.admitted || v.as != id.CN {
		t.Fatalf("CN %q: as another user PostgreSQL gives %+v, want a refusal of that CN", id.CN, v)
	}
}

func compareDN(t rapid.TB, j *judge, leaf *pki.Leaf, id *identity.Identity) {
	t.Helper()
	user := id.DN
	if user == "" {
		user = "nobody"
	}
	v := j.login(t, leaf, user, "dn")
	if want := id.DN != "" && len(id.DN) <= maxRole; v.admitted != want || v.dn != id.DN {
		t.Fatalf("DN %q: PostgreSQL gives %+v, want admitted %v", id.DN, v, want)
	}
}

// TestDiffersFromPostgreSQL lists the certificates that PostgreSQL reads otherwise, each with the rule that
// says why. PostgreSQL's side is asked too, so that the list cannot grow stale.
func TestDiffersFromPostgreSQL(t *testing.T) {
	j := newJudge(t)
	for _, tt := range []struct {
		name  string
		shape pki.Shape
		user  string // whom PostgreSQL admits under clientname=CN; empty: nobody
		err   string // our reason; empty: the certificate has an identity, but no CN
	}{
		{"T16 BMPString that spells ASCII", cn(pki.Typed(pki.OIDCommonName, pki.BMPString, "aliceX")), "aliceX", identity.ReasonIllegal},
		{"T16 T61String", cn(pki.Typed(pki.OIDCommonName, pki.T61String, "alice")), "alice", identity.ReasonIllegal},
		{"T16 newline", pki.Shape{CN: "ali\nce"}, "ali\nce", identity.ReasonIllegal},
		{"T16 DEL", pki.Shape{CN: "alice\x7f"}, "alice\x7f", identity.ReasonIllegal},
		{"T16 bidirectional control", pki.Shape{CN: "a\u202eb"}, "a\u202eb", identity.ReasonIllegal},
		{"T16 newline in O", pki.Shape{CN: "alice", O: []string{"a\nb"}}, "alice", identity.ReasonIllegal},
		{"T16 NUL in SAN", pki.Shape{CN: "alice", DNS: []string{"a\x00b"}}, "alice", identity.ReasonIllegal},
		{"T17 long CN in another attribute", pki.Shape{CN: "alice", O: []string{strings.Repeat("o", 1025)}}, "alice", identity.ReasonLimits},
		{"T18 two CNs", pki.Shape{Subject: pki.Name{pki.CN("alice"), pki.CN("bob")}}, "alice", ""},
		{"T18 CN+CN", cn(pki.Text(pki.OIDCommonName, "alice"), pki.Text(pki.OIDCommonName, "bob")), "alice", ""},
		{"both refuse NUL", pki.Shape{CN: "alice\x00b"}, "", identity.ReasonIllegal},
		{"both find no CN", pki.Shape{O: []string{"Example"}}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaf, err := j.env.Clients.Issue(tt.shape)
			if err != nil || leaf.X509 == nil {
				t.Fatalf("%v, %v", err, leaf.ParseErr)
			}
			id, err := identity.Extract(leaf.X509, nil)
			if tt.err != "" {
				wantReason(t, err, tt.err)
			} else if err != nil || id.CN != "" {
				t.Errorf("got %+v, %v, want an identity without CN", id, err)
			}
			if tt.user != "" {
				if v := j.login(t, leaf, tt.user, "cn"); !v.admitted {
					t.Errorf("PostgreSQL refuses %q, want it admitted: %+v", tt.user, v)
				}
				return
			}
			if v := j.try(t, leaf, "alice", "cn"); v.admitted {
				t.Errorf("PostgreSQL admits alice: %+v", v)
			}
		})
	}
}

// cleanName draws subjects that T16 lets through, most with a CN.
func cleanName() *rapid.Generator[pki.Name] {
	text := rapid.StringOf(rapid.OneOf(
		rapid.SampledFrom([]rune(` #,+"\<>;=/éß€😀а`)), rapid.RuneFrom([]rune("abcXYZ019")),
	)).Filter(func(s string) bool { return s != "" })
	typed := func(oid pki.OID) *rapid.Generator[pki.Attr] {
		return rapid.Custom(func(t *rapid.T) pki.Attr {
			switch tag := rapid.SampledFrom([]pki.StringType{
				pki.UTF8String, pki.UTF8String, pki.PrintableString, pki.IA5String, pki.NumericString,
			}).Draw(t, "tag"); tag {
			case pki.UTF8String:
				return pki.Text(oid, text.Draw(t, "text"))
			case pki.NumericString:
				return pki.Typed(oid, tag, rapid.StringMatching(`[0-9 ]{1,70}`).Draw(t, "text"))
			case pki.PrintableString:
				return pki.Typed(oid, tag, rapid.StringMatching(`[A-Za-z0-9 '()+,./:=?-]{1,70}`).Draw(t, "text"))
			default:
				return pki.Typed(oid, tag, rapid.StringMatching(`[ -~]{1,20}`).Draw(t, "text"))
			}
		})
	}
	anyType := rapid.Custom(func(t *rapid.T) pki.Attr {
		return typed(rapid.SampledFrom([]pki.OID{
			pki.OIDCommonName, pki.OIDOrganization, pki.OIDOrganizationalUnit, pki.OIDUserID, pki.OIDEmailAddress,
			pki.OIDDomainComponent, {1, 3, 6, 1, 4, 1, 55555, 9},
		}).Draw(t, "type")).Draw(t, "attribute")
	})
	return rapid.Custom(func(t *rapid.T) pki.Name {
		var name pki.Name
		for range rapid.IntRange(0, 2).Draw(t, "before") {
			name = append(name, rapid.SliceOfN(anyType, 1, 2).Draw(t, "RDN"))
		}
		if rapid.IntRange(0, 9).Draw(t, "with CN") > 0 {
			name = append(name, pki.RDN{typed(pki.OIDCommonName).Draw(t, "CN")})
		}
		for range rapid.IntRange(0, 2).Draw(t, "after") {
			name = append(name, rapid.SliceOfN(anyType, 1, 2).Draw(t, "RDN"))
		}
		return name
	})
}
