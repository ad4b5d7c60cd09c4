package upstream

import (
	"os"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// fixedDSN names every setting that pgconn would otherwise take from PG* variables, ~/.pgpass or
// ~/.postgresql. Host, user and so on are overwritten for each dial; the password keeps pgconn from
// reading a password file.
const fixedDSN = "host=127.0.0.1 port=5432 user=pgsignet database=pgsignet password=unused " +
	"passfile='' sslmode=disable sslcert='' sslkey='' sslrootcert='' sslpassword='' sslsni=1 " +
	"sslcertmode=allow sslnegotiation=postgres connect_timeout=0 target_session_attrs=any " +
	"min_protocol_version=3.0 max_protocol_version=3.2 channel_binding=disable require_auth=none"

// maxLoginMessage bounds the body of one message during login, in bytes. PostgreSQL's largest are
// error messages, under 1 KiB (A112).
const maxLoginMessage = 64 << 10

// baseConfig is the pgconn configuration that every dial copies.
var baseConfig = sync.OnceValues(parseFixed)

// parseFixed makes it. pgconn takes a Config only from its own parser, which has no way to ignore
// the service that PGSERVICE names: that variable is hidden from it.
func parseFixed() (*pgconn.Config, error) {
	if service, ok := os.LookupEnv("PGSERVICE"); ok {
		os.Unsetenv("PGSERVICE")
		defer os.Setenv("PGSERVICE", service)
	}
	cfg, err := pgconn.ParseConfig(fixedDSN)
	if err != nil {
		return nil, err
	}
	cfg.Password = ""
	cfg.RuntimeParams = nil
	cfg.Fallbacks = nil
	cfg.MaxProtocolMessageBodyLen = maxLoginMessage
	return cfg, nil
}
