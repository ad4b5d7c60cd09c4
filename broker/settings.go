package broker

import (
	"strings"

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

// setConfig returns the statement that applies settings to a session, or "" when there are none.
// Names and values are literals, never syntax (W49).
func setConfig(settings []pgwire.Param) string {
	if len(settings) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("SELECT ")
	for i, p := range settings {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("pg_catalog.set_config(")
		b.WriteString(quoteLiteral(p.Name))
		b.WriteString(", ")
		b.WriteString(quoteLiteral(p.Value))
		b.WriteString(", false)")
	}
	return b.String()
}

// quoteLiteral returns s as an SQL string literal that reads the same whatever
// standard_conforming_strings is, as PostgreSQL's quote_literal does.
func quoteLiteral(s string) string {
	quoted := strings.ReplaceAll(s, "'", "''")
	if strings.Contains(s, `\`) {
		return ` E'` + strings.ReplaceAll(quoted, `\`, `\\`) + `'`
	}
	return `'` + quoted + `'`
}
