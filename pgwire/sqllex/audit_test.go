package sqllex_test

import (
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

func TestFingerprint(t *testing.T) {
	for _, tt := range []struct {
		want string
		sqls []string
	}{
		{"", []string{"", " -- x", ";;"}},
		{"select ?", []string{"select 1", "SELECT  'a';", "select/**/$1 ; ", "select E'x\\''", "select $$a$$", "select -1", "select 'a'\n'b'"}},
		{"select a.b, ? from t where c = ?", []string{"SELECT A.b , 5 FROM t\nWHERE c=-7", "select a . b,$1 from t where c = $2 -- x"}},
		{"select f(?), count(*) from t where id in (?)", []string{
			"select f(1), count(*) from t where id in (1)", "select f($1), count( * ) from t where id IN(1,2,3 , 4)", "select f('a','b'), count(*) from t where id in ('x')"}},
		{"insert into t(a, b) values (?)", []string{"insert into t(a,b) values (1,2)", "INSERT INTO t (a, b) VALUES (1, 'x'), (2, $1), (3, 4)"}},
		{`select "A""b".c::text`, []string{`select "A""b".c::text`, `select U&"\0041""b" . C :: TEXT`}},
		{"select a - ?, - b", []string{"select a - 1, -b", "select a-2,- b"}},
		{"select a[?], b @> ?", []string{"select a[1], b @> '{}'", "select a [ 2 ] , b@>'{}'"}},
		{"select ? ...", []string{`select 'a\' secret'`, `select 'a\'; select 1`}},
		{"select ?, b", []string{`select 'a\\', b`, `select '\a', b`}},
		{"begin; select ?", []string{"begin;select 1", "BEGIN ; SELECT 2;"}},
	} {
		for _, sql := range tt.sqls {
			if got := sqllex.Fingerprint(sql); got != tt.want {
				t.Errorf("%q: got %q, want %q", sql, got, tt.want)
			}
		}
	}
}

func TestMaskPasswords(t *testing.T) {
	for _, tt := range []struct{ sql, want string }{
		// Roles.
		{"create role x password 'secret'", "create role x password '***'"},
		{"ALTER USER x WITH ENCRYPTED PASSWORD 'secret' VALID UNTIL 'y'", "ALTER USER x WITH ENCRYPTED PASSWORD '***' VALID UNTIL 'y'"},
		{"create group x unencrypted password/**/E'sec\\'ret'", "create group x unencrypted password/**/'***'"},
		{"alter role x password $$secret$$", "alter role x password '***'"},
		{"alter role x password $a$secret$a$; select 1", "alter role x password '***'; select 1"},
		{"alter role x password U&'secre!0074' uescape '!'", "alter role x password '***'"},
		{"alter role x password 'sec'\n'ret'", "alter role x password '***'"},
		{"alter role x password -- 'y'\n 'secret'", "alter role x password -- 'y'\n '***'"},
		{"alter role x password 'SCRAM-SHA-256$4096:secret=:secret='", "alter role x password '***'"},
		{"alter role x password 'secret", "alter role x password '***'"},
		{`alter role x password 'a\'; select 'secret'`, `alter role x password '***'secret'`}, // a string under either setting
		{`alter role x password 'a\'secret'`, `alter role x password '***'`},
		// As other databases have it.
		{"create user x identified by 'secret'", "create user x identified by '***'"},
		{"CREATE USER x IDENTIFIED/**/BY secret DEFAULT TABLESPACE y", "CREATE USER x IDENTIFIED/**/BY '***' DEFAULT TABLESPACE y"},
		{"alter user x identified by \"secret\"; select 'a', b", "alter user x identified by '***'; select 'a', b"},
		{"alter user x identified by 4711", "alter user x identified by '***'"},
		{"create user 'x'@'%' identified by password 'secret', 'y'@'%' identified by 'secret' require ssl", "create user 'x'@'%' identified by password '***', 'y'@'%' identified by '***' require ssl"},
		{"alter user x identified by values 'secret'", "alter user x identified by values '***'"},
		{"grant all on *.* to x identified with 'plugin' by 'secret'", "grant all on *.* to x identified with 'plugin' by '***'"},
		{"alter user x identified with sha2_password as $$secret$$", "alter user x identified with sha2_password as '***'"},
		{"do $$ begin execute 'create user x identified by secret'; end $$", "do $$ begin execute 'create user x identified by ''***'''; end $$"},
		// Options of servers, mappings, tables.
		{"create user mapping for u server s options (user 'x', password 'secret')", "create user mapping for u server s options (user 'x', password '***')"},
		{`alter user mapping for u server s options (set "password" 'secret')`, `alter user mapping for u server s options (set "password" '***')`},
		{`alter server s options (add U&"pass\0077ord" 'secret', sslpassword 'secret')`, `alter server s options (add U&"pass\0077ord" '***', sslpassword '***')`},
		{"create server s foreign data wrapper f options (passwd 'secret')", "create server s foreign data wrapper f options (passwd '***')"},
		// Connection strings.
		{"create subscription s connection 'host=h password=secret dbname=d' publication p", "create subscription s connection 'host=h password=*** dbname=d' publication p"},
		{"alter subscription s connection 'password = ''sec ret'' host=h'", "alter subscription s connection 'password = *** host=h'"},
		{`alter subscription s connection 'password=sec\ ret host=h'`, `alter subscription s connection '***'`}, // two readings
		{`alter subscription s connection $$password=sec\ ret host=h$$`, `alter subscription s connection $$password=*** host=h$$`},
		{`alter subscription s connection E'PASSWORD=\'s\\\'ecret\' host=\\\\h'`, `alter subscription s connection E'PASSWORD=*** host=\\\\h'`},
		{"alter subscription s connection $$sslpassword=secret password=secret$$", "alter subscription s connection $$sslpassword=*** password=***$$"},
		{"alter subscription s connection 'postgresql://u:secret@h/d?password=secret&x=y'", "alter subscription s connection 'postgresql://u:***@h/d?password=***&x=y'"},
		{"select dblink_connect('dbname=d password=secret')", "select dblink_connect('dbname=d password=***')"},
		{"select dblink_connect(E'dbname=d pass\\x77ord=secret')", "select dblink_connect('dbname=d password=***')"},
		{`select dblink_connect('pass\word=secret')`, `select dblink_connect('***')`},
		{"copy t to program 'psql postgres://u:secret@h'", "copy t to program 'psql postgres://u:***@h'"},
		// Statements within strings.
		{"do $$begin alter role x password 'secret'; end$$", "do $$begin alter role x password '***'; end$$"},
		{"do 'begin alter role x password ''secret''; end'", "do 'begin alter role x password ''***''; end'"},
		{"create function f() returns void language plpgsql as $f$begin execute 'alter role x password ''secret'''; end$f$",
			"create function f() returns void language plpgsql as $f$begin execute 'alter role x password ''***'''; end$f$"},
		// Statements that are put together.
		{"select format('alter role %I password %L', 'x', 'secret'), 'y'", "select format('alter role %I password %L', '***', '***'), 'y'"},
		{"do $$begin execute format('create role x password %1$L', 'secret'); raise 'y'; end$$", "do $$begin execute format('create role x password %1$L', '***'); raise 'y'; end$$"},
		{"do $$begin execute 'alter role x password ' || quote_literal('secret') into y; end$$", "do $$begin execute 'alter role x password ' || quote_literal('***') into y; end$$"},
		{"select dblink_connect('host=h password=' || 'secret', 'y')", "select dblink_connect('host=h password=' || '***', 'y')"},
		{"select dblink_connect(format('host=h password=%s', 'secret'), 'y')", "select dblink_connect(format('host=h password=***', '***'), 'y')"},
		{"select 'alter role x password ''' || 'secret' || ''''", "select 'alter role x password ''***''' || '***' || '***'"},
	} {
		got, masked := sqllex.MaskPasswords(tt.sql)
		if got != tt.want || !masked {
			t.Errorf("%q: got %q, %v, want %q", tt.sql, got, masked, tt.want)
		}
		if again, _ := sqllex.MaskPasswords(got); again != got {
			t.Errorf("%q: masked again: %q", got, again)
		}
	}
}

func TestMaskPasswordsLeavesAlone(t *testing.T) {
	for _, sql := range []string{
		"", "select 1", "alter role x password null", "update users set password = 'hash' where id = 1",
		"select password from users where name = 'x'", "select 'password'", "select 'the password is'",
		"select 'https://example.org/a:b@c'", "select 'http://user@host'", "select U&'x', E'\\n'", "select $$://$$",
		"create role x password", "select 'x' password",
		"select identified, 'x' from t", "select * from f() identified with ordinality as t(a)", "select 1 identified order by 'x'", "select id, 'identified by'",
		"select x like '%password%' and y = 'z'", "select 'old password', 'z' || 'y'", "select 'password' = 'z', 'y'", "select 'password %', 'z'",
		"create function f() returns text as $$ select format('password %L', $1); $$ language 'sql'", "select 'passwords %L', 'z'",
	} {
		if got, masked := sqllex.MaskPasswords(sql); got != sql || masked {
			t.Errorf("%q: got %q, %v", sql, got, masked)
		}
	}
}

func TestSafeEncoding(t *testing.T) {
	for _, name := range []string{"UTF8", "LATIN1", "SQL_ASCII", "EUC_JP", "WIN1252", ""} {
		if !sqllex.SafeEncoding(name) {
			t.Errorf("%q is not safe", name)
		}
	}
	for _, name := range []string{"SJIS", "sjis", "Shift_JIS", "SHIFT_JIS_2004", "GBK", "BIG5", "UHC", "gb18030", "JOHAB", "WIN936"} {
		if sqllex.SafeEncoding(name) {
			t.Errorf("%q is safe", name)
		}
	}
	if !sqllex.ASCII("select 'x'\n") || sqllex.ASCII("é") || !sqllex.ASCII("") {
		t.Error("ASCII")
	}
}

// FuzzMask: no panic; what is masked stays as it is; and a password that stands where one must be
// masked does not get through, whatever surrounds it.
func FuzzMaskPasswords(f *testing.F) {
	for _, tt := range classifyTests {
		f.Add(tt.sql)
	}
	f.Add("do $$alter role x password 'y'$$")
	f.Add("select E'password=\\'x', 'a://b:c@d'")
	f.Fuzz(func(t *testing.T, sql string) {
		got, masked := sqllex.MaskPasswords(sql)
		if !masked && got != sql {
			t.Fatalf("changed to %q", got)
		}
		if again, _ := sqllex.MaskPasswords(got); again != got {
			t.Fatalf("masked %q, again %q", got, again)
		}
		sqllex.Fingerprint(sql)
		behind := sql + " ; alter role x password 'hunter2hunter2'"
		if got, _ := sqllex.MaskPasswords(behind); strings.Contains(got, "hunter2hunter2") && sqllex.Classify(behind).Flags&(sqllex.Opaque|sqllex.Password) == sqllex.Password {
			t.Fatalf("%q shows it", got)
		}
	})
}
