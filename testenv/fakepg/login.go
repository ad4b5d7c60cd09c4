package fakepg

import (
	"slices"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Login says what a connection gets in answer to its start-up packet.
type Login struct {
	PID      uint32         // default 4711
	Secret   []byte         // default four bytes; with NoKey there is no BackendKeyData
	NoKey    bool           // as RDS Proxy does
	Params   []pgwire.Param // default DefaultParams
	Override []pgwire.Param // replaces values of Params by name, or adds
}

// DefaultParams are what PostgreSQL 15 reports after a login.
var DefaultParams = []pgwire.Param{
	{Name: "application_name", Value: ""},
	{Name: "client_encoding", Value: "UTF8"},
	{Name: "DateStyle", Value: "ISO, MDY"},
	{Name: "default_transaction_read_only", Value: "off"},
	{Name: "in_hot_standby", Value: "off"},
	{Name: "integer_datetimes", Value: "on"},
	{Name: "IntervalStyle", Value: "postgres"},
	{Name: "is_superuser", Value: "off"},
	{Name: "server_encoding", Value: "UTF8"},
	{Name: "server_version", Value: "15.18"},
	{Name: "session_authorization", Value: "app"},
	{Name: "standard_conforming_strings", Value: "on"},
	{Name: "TimeZone", Value: "Etc/UTC"},
}

// Login lets the client in.
func (c *Conn) Login(l Login) {
	b := pgwire.AppendAuthenticationOk(nil)
	for _, p := range l.params() {
		b = pgwire.AppendParameterStatus(b, p.Name, p.Value)
	}
	if !l.NoKey {
		b = pgwire.AppendBackendKeyData(b, l.key())
	}
	c.Write(pgwire.AppendReadyForQuery(b, pgwire.TxIdle))
}

func (l Login) params() []pgwire.Param {
	params := slices.Clone(l.Params)
	if params == nil {
		params = slices.Clone(DefaultParams)
	}
	for _, o := range l.Override {
		i := slices.IndexFunc(params, func(p pgwire.Param) bool { return p.Name == o.Name })
		if i < 0 {
			params = append(params, o)
		} else {
			params[i] = o
		}
	}
	return params
}

func (l Login) key() pgwire.CancelKey {
	key := pgwire.CancelKey{PID: l.PID, Secret: l.Secret}
	if key.PID == 0 {
		key.PID = 4711
	}
	if key.Secret == nil {
		key.Secret = []byte{1, 2, 3, 4}
	}
	return key
}

// Refuse answers the login with a FATAL error and closes.
func (c *Conn) Refuse(code, message string) {
	c.Write(pgwire.AppendError(nil, &pgwire.Error{Severity: pgwire.Fatal, Code: code, Message: message}))
	panic(over{})
}
