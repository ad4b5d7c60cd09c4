package sqllex

import "testing"

func TestAssigns(t *testing.T) {
	fixed := map[string]bool{"work_mem": true, "timezone": true, "app.tenant": true, "default_transaction_isolation": true}
	for _, tt := range []struct{ sql, want string }{
		{"set work_mem = '1GB'", "work_mem"},
		{"SET LOCAL Work_Mem TO 4", "work_mem"},
		{`set session "work_mem" = 4`, "work_mem"},
		{`set U&"wor\006b_mem" = 4`, "work_mem"},
		{"begin; set local work_mem = 4; select 1", "work_mem"},
		{"set time zone 'UTC'", "timezone"},
		{"set app.tenant = 'x'", "app.tenant"},
		{`set "app"."tenant" = 'x'`, "app.tenant"},
		{"select set_config('work_mem', '1GB', false)", "work_mem"},
		{"select pg_catalog.set_config('APP.tenant', $1, true)", "app.tenant"},
		{`select set_config(E'work\x5fmem', '1GB', false)`, "work_mem"},
		{"set session characteristics as transaction isolation level serializable", "default_transaction_isolation"},
		{"set local_work_mem = 4", ""},
		{"set search_path = work_mem", ""},
		{"reset work_mem", ""},
		{"set work_mem to default", ""},
		{"reset all", ""},
		{"select 'set work_mem = 1'", ""},
		{"update t set work_mem = 1", ""},
		{"alter role alice set work_mem = '1GB'", ""},
		{"show work_mem", ""},
		{"", ""},
	} {
		if got := Assigns(tt.sql, func(name string) bool { return fixed[name] }); got != tt.want {
			t.Errorf("Assigns(%q) = %q, want %q", tt.sql, got, tt.want)
		}
	}
}
