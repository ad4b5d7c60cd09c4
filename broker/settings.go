package broker

import (
	"github.com/pgsignet/pgsignet/pgwire"
)

// startupSettings returns the session settings that a start-up packet asks for, in the order in
// which PostgreSQL applies them: `options` first, then the other parameters (process_startup_options
// in postinit.c). Settings that would change who the session is are refused in any spelling (A106,
// A125).
func startupSettings(s *pgwire.Startup) ([]pgwire.Param, error) {
	var settings []pgwire.Param
	if options, ok := s.Get("options"); ok {
		parsed, err := pgwire.ParseOptions(options)
		if err != nil {
			return nil, err
		}
		settings = append(settings, parsed...)
	}
	for _, p := range s.Params {
		switch p.Name {
		case "user", "database", "options", "replication":
		default:
			settings = append(settings, p)
		}
	}
	for _, p := range settings {
		if pgwire.ForbiddenSetting(p.Name) {
			return nil, &refusal{
				code: pgwire.InsufficientPrivilege, reason: "forbidden_setting",
				public: "parameter cannot be set at start-up: the role comes from the certificate",
			}
		}
	}
	return settings, nil
}
