package broker

import (
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/broker/relay"
	"github.com/pgsignet/pgsignet/pgwire"
)

// TestA124TriedTokensAreNotRecorded: a stolen token that is tried at start-up does not end up in the
// record of the refusal.
func TestA124TriedTokensAreNotRecorded(t *testing.T) {
	for _, p := range []pgwire.Param{
		{Name: "pgsignet.token", Value: "v1.s3cret"},
		{Name: "PGSIGNET.Token", Value: "v1.s3cret"},
		{Name: "options", Value: "-c pgsignet.token=v1.s3cret"},
		{Name: "options", Value: `-c datestyle=iso --pg\signet.token=v1.s3cret`},
		{Name: "options", Value: "-? pgsignet.token=v1.s3cret"},
	} {
		r := auditRequested(&pgwire.Startup{Params: []pgwire.Param{{Name: "user", Value: "u"}, p}})
		if len(r.Params) != 1 || r.Params[0].Name != p.Name || strings.Contains(r.Params[0].Value, "s3cret") {
			t.Errorf("%v is recorded as %v", p, r.Params)
		}
	}
	plain := pgwire.Param{Name: "options", Value: "-c search_path=pgsignet"}
	if got := recordable(plain); got != plain.Value {
		t.Errorf("%v is recorded as %q", plain, got)
	}
}

// TestW16MapSettingsStayUnnamed: what a map sets is not told to its client when the server refuses it.
func TestW16MapSettingsStayUnnamed(t *testing.T) {
	setup := &relay.Setup{
		Startup: []pgwire.Param{{Name: "DateStyle", Value: "x"}, {Name: "work_mem", Value: "1"}},
		Fixed:   []pgwire.Param{{Name: "app.tenant_secret", Value: "acme"}, {Name: "Work_Mem", Value: "x"}},
	}
	for _, tt := range []struct {
		message string
		shown   bool
	}{
		{`invalid value for parameter "DateStyle": "x"`, true},
		{`permission denied to set parameter "app.tenant_secret"`, false},
		{`invalid value for parameter "work_mem": "x"`, false},
		{`role "boss" does not exist`, false},
	} {
		err := refusedSetting(setup, &pgwire.Error{Code: "22023", Message: tt.message})
		told := answer(err, SessionID{})
		if strings.HasPrefix(told.Message, tt.message) != tt.shown || told.Code != "22023" || !strings.Contains(err.Error(), tt.message) {
			t.Errorf("%s: the client reads %q", tt.message, told.Message)
		}
	}
}
