package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/pgsignet/pgsignet/policy/identity"
)

// maxOwner is the longest text that an owner's alternative names make, in bytes; longer ones are hashed.
const maxOwner = 1 << 10

// identityKey is who limits count, who shares a pool under `share = "identity"` and whom a token names:
// the SPIFFE ID, else the DN. A renewed certificate is no second allowance (T93). It is never empty for a
// certificate: those with an empty subject (A85) would else be one and the same owner.
func identityKey(id *identity.Identity) string {
	switch {
	case id.SPIFFE != "":
		return id.SPIFFE
	case id.DN != "":
		return id.DN
	}
	return alternativeKey(id)
}

// escapeName keeps a name apart from those beside it, whatever it holds: no other list makes the same text.
var escapeName = strings.NewReplacer(`\`, `\\`, ",", `\,`)

// alternativeKey names the owner of a certificate without a subject by all its alternative names, as in
// "email:alice@example.com,dns:a.example"; one without any by its key. It is never the text of a DN,
// which begins with a type and "=", nor of a SPIFFE ID.
func alternativeKey(id *identity.Identity) string {
	var names []string
	add := func(kind, name string) { names = append(names, kind+":"+escapeName.Replace(name)) }
	for _, name := range id.Email {
		add("email", name)
	}
	for _, name := range id.DNS {
		add("dns", name)
	}
	for _, name := range id.URI {
		add("uri", name)
	}
	for _, addr := range id.IP {
		add("ip", addr.String())
	}
	key := strings.Join(names, ",")
	switch {
	case key == "" && id.SPKISHA256 != "": // "" in a test block's certificate alone
		return "spki_sha256:" + id.SPKISHA256
	case len(key) > maxOwner:
		sum := sha256.Sum256([]byte(key))
		return "names_sha256:" + hex.EncodeToString(sum[:])
	}
	return key
}
