package stamp

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"strings"
)

//go:embed identity.sql
var ddl string

// DDL is what a database needs once for pgsignet.identity(): role, schema, key table and function. A
// superuser runs it; running it again changes nothing but the function.
func DDL() string { return ddl }

// Insert is the SQL that gives a database the key. It holds the secret. Its statements are kept out
// of the server's log, as far as a superuser can.
func (k *Key) Insert() string {
	return strings.Join([]string{
		"BEGIN;",
		"SET LOCAL log_statement = 'none';",
		"SET LOCAL log_min_duration_statement = -1;",
		"SET LOCAL log_min_error_statement = 'panic';",
		fmt.Sprintf("INSERT INTO pgsignet.identity_key (kid, inner_key, outer_key) VALUES ('%s', '\\x%s', '\\x%s')\n  ON CONFLICT (kid) DO NOTHING;",
			k.id, hex.EncodeToString(k.inner[:]), hex.EncodeToString(k.outer[:])),
		"COMMIT;", "",
	}, "\n")
}
