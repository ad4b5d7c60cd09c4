package sqllex_test

import (
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/pgwire/sqllex"
)

// Short names for the flags, so that the table reads.
const (
	none      = sqllex.Flags(0)
	setLone   = sqllex.SetLone
	setOther  = sqllex.SetOther
	setLocal  = sqllex.SetLocal
	setTx     = sqllex.SetTransaction
	role      = sqllex.Role
	prepare   = sqllex.Prepare
	listen    = sqllex.Listen
	lock      = sqllex.AdvisoryLock
	temp      = sqllex.Temp
	hold      = sqllex.HoldCursor
	load      = sqllex.Load
	slot      = sqllex.Unresettable
	dirty     = sqllex.Dirty
	opaque    = sqllex.Opaque
	reset     = sqllex.Reset
	resetAll  = sqllex.ResetAll
	discard   = sqllex.DiscardAll | sqllex.Unprepares
	unlisten  = sqllex.UnlistenAll
	unlock    = sqllex.UnlockAll
	closeAll  = sqllex.CloseAll
	dealloc   = sqllex.Deallocate | sqllex.Unprepares
	deallocs  = sqllex.DeallocateAll | sqllex.Unprepares
	begin     = sqllex.Begin
	commit    = sqllex.Commit
	rollback  = sqllex.Rollback
	readWrite = sqllex.ReadWrite
	defaults  = sqllex.RoleDefaults
	drop      = sqllex.DropDatabase
	password  = sqllex.Password
	seed      = sqllex.Seed
	creates   = sqllex.Creates
	tempPath  = sqllex.TempPath
)

var classifyTests = []struct {
	sql  string
	want sqllex.Flags
	name string // Setting, Name, Database or Cursor
}{
	// Nothing.
	{"", none, ""},
	{" ;; -- x\n ; /* set x = 1; */", none, ""},
	{"select 1", none, ""},
	{"select 'listen x', $$set role y$$, $a$ $$ load 'z' $a$", none, ""},
	{"update t set a = 1 where b = 2", none, ""},
	{"insert into temp values (1)", none, ""},
	{"insert into t(read, write) values (1, 2) on conflict do nothing", none, ""},
	{"merge into temp using s on true when matched then do nothing", none, ""},
	{"select pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(2), pg_advisory_unlock(1)", none, ""},
	{"grant execute on function f() to x", none, ""},
	{"create trigger t after insert on x for each row execute function f()", none, ""},
	{"alter default privileges grant execute on functions to x", none, ""},
	{"create function f() returns int language sql set search_path = x as 'select 1'", none, ""},
	{"create user mapping for x server y options (password 'z')", none, ""},
	{"notify x; savepoint a; rollback to a; rollback work to savepoint a; release a", none, ""},
	{"commit prepared 'x'; rollback prepared 'y'", none, ""},
	{"with hold as (select 1) select * from hold", none, ""},
	{"declare c cursor without hold for select 1", none, ""},
	{"fetch all from c; close c; move 1 in c", none, ""},
	{"alter system set work_mem = 1", none, ""},
	{"explain select 1; vacuum; analyze t; checkpoint; lock table t; copy t from stdin", none, ""},

	// SET and RESET.
	{"set work_mem = '64MB'", setLone, "work_mem"},
	{"SET Work_Mem TO 64;", setLone, "work_mem"},
	{"set session work_mem = 64", setLone, "work_mem"},
	{"set search_path to a, \"b\", 'c'", setLone, "search_path"},
	{`set "Work_Mem" = 64`, setLone, "work_mem"},
	{`set U&"w\006frk_mem" = 64`, setLone, "work_mem"},
	{`set U&"w!006frk_mem" /**/ uescape -- x` + "\n" + ` '!' = 64`, setLone, "work_mem"},
	{"set/**/x.y/**/=/**/1", setLone, "x.y"},
	{"set session.user_id = '5'", setLone, "session.user_id"},
	{"set local.x = '5'", setLone, "local.x"},
	{"set session session.x = '5'", setLone, "session.x"},
	{"set local local.x = '5'", setLocal, ""},
	{"set transaction.x = 1", setLone, "transaction.x"},
	{"set role.x = 1", setLone, "role.x"},
	{"set time.x = 1", setLone, "time.x"},
	{"set x=-1", setLone, "x"},
	{"set time zone 'UTC'", setLone, "timezone"},
	{"set session time zone interval '1' hour to minute", setLone, "timezone"},
	{"set time zone default", reset, "timezone"},
	{"set time zone local", reset, "timezone"},
	{"set names 'utf8'", setLone, "client_encoding"},
	{"set names", reset, "client_encoding"},
	{"set schema 'x'", setLone, "search_path"},
	{"set xml option document", setLone, "xmloption"},
	{"set x to default", reset, "x"},
	{"set x = DEFAULT;", reset, "x"},
	{"reset x", reset, "x"},
	{"reset X.Y", reset, "x.y"},
	{"reset time zone", reset, "timezone"},
	{"reset session.x", reset, "session.x"},
	{"reset all", resetAll, ""},
	{`reset "all"`, reset, "all"},
	{"set a = 1; select 1", setOther, ""},
	{"set a = 1; set a = default", setOther, ""},
	{"reset a; select 1", setOther, ""},
	{"select 1; set a = 1", setOther, ""},
	{"set a = 1; reset all", setOther | resetAll, ""},
	{"reset all; set a = 1", setOther | readWrite, ""},
	{"set local a = 1", setLocal, ""},
	{"set local time zone 'UTC'", setLocal, ""},
	{"set constraints all deferred", setLocal, ""},
	{"set transaction isolation level serializable", setTx, ""},
	{"set transaction snapshot 'x'", setTx, ""},
	{"set local transaction read only", setTx, ""},
	{"set transaction_isolation = 'serializable'", setTx, ""},
	{"reset transaction isolation level", setTx, ""},
	{"set session characteristics as transaction read only", setOther, ""},
	{"set catalog 'x'", setOther, ""},
	{"set x from current", setOther, ""},
	{"set", setOther, ""},
	{"set;", setOther, ""},
	{"set seed to 0.5", seed, ""},
	{"select setseed(0.5)", seed, ""},
	{"set search_path = pg_temp, public", setOther | temp, ""},
	{"set search_path = 'PG_temp'", setOther | temp, ""},
	{`set search_path = E'pg\x5ftemp'`, setOther | temp, ""},
	{`set search_path = U&'pg!005ftemp' uescape '!'`, setOther | temp, ""},

	// Functions that set.
	{"select set_config('a', 'b', false)", setOther, ""},
	{"select set_config('a', 'b', $1)", setOther, ""},
	{"select set_config('a', 'b', true)", setLocal, ""},
	{"select set_config('a', f(1, (2)), 't')", setLocal, ""},
	{"select set_config('a', $1, true), set_config('b', $2, false)", setLocal | setOther, ""},
	{"select set_config($1, $2, true)", setLocal, ""},
	{"select set_config($1, $2, false)", setOther | role, ""},
	{"select set_config(is_local => true, setting_name => 'a', new_value => 'b')", setOther | role, ""},
	{"select set_config('a', 'b', not true)", setOther, ""},
	{"select set_config('a', 'b', true, 1)", setOther | role, ""},
	{`select pg_catalog."set_config"('a', 'b', false)`, setOther, ""},
	{`select "pg_catalog" /**/ . U&"\0073et_config" -- x` + "\n('a', 'b', false)", setOther, ""},
	{"select SET_CONFIG('role', 'x', false)", role, ""},
	{"select set_config('RoLe', 'x', true)", setLocal, ""},
	{"select set_config('search_path', 'pg_temp', false)", setOther | temp, ""},
	{"select set_config(" + strings.Repeat("x+", 100) + "x, 'b', true)", setOther | role, ""},
	{"select set_limit(0.5)", setOther, ""},

	// Roles.
	{"set role x", role, ""},
	{"set session role x", role, ""},
	{"set role none", role, ""},
	{"set role to x", role, ""},
	{"set role = x", role, ""},
	{`set "role" = x`, role, ""},
	{`set U&"\0072ole" to x`, role, ""},
	{"set session authorization x", role, ""},
	{"set session session authorization default", role, ""},
	{"set session_authorization = x", role, ""},
	{"set local role x", setLocal, ""},
	{"set local session authorization x", setLocal, ""},
	{"reset role", role, ""},
	{`reset "role"`, role, ""},
	{"reset session authorization", role, ""},
	{"reset session_authorization", role, ""},

	// Prepared statements.
	{"prepare p as select 1", prepare, ""},
	{"prepare p(int) as insert into t values ($1)", prepare, ""},
	{"prepare transaction 'x'", sqllex.PrepareTransaction, ""},
	{"prepare transaction as select 1", prepare, ""},
	{"prepare transaction(int) as select 1", prepare, ""},
	{"prepare;listen x", prepare | listen, ""},
	{"deallocate p", dealloc, "p"},
	{`deallocate prepare "P""q"`, dealloc, `P"q`},
	{"deallocate prepare", dealloc, "prepare"},
	{"deallocate all", deallocs, ""},
	{"deallocate prepare all", deallocs, ""},
	{`deallocate "all"`, dealloc, "all"},
	{"prepare p as select 1; deallocate all", prepare | deallocs, ""},
	{"deallocate all; prepare p as select 1", prepare | sqllex.Unprepares, ""},
	{"begin; deallocate all; rollback", begin | rollback | sqllex.Unprepares, ""},
	{`select 'a\'; deallocate all; --'`, sqllex.Unprepares, ""},
	{"deallocate all; select atomic", sqllex.Unprepares, ""},
	{"begin; savepoint a; reset all; discard temp; unlisten *; close all; rollback to a; commit", begin | commit | readWrite, ""},
	{"begin; savepoint a; unlisten *; rollback transaction to savepoint a; commit", begin | commit, ""},

	// LISTEN.
	{"listen x", listen, ""},
	{"LISTEN/**/x", listen, ""},
	{"/* /* nested */ */ listen x", listen, ""},
	{"select 1;--\nlisten x", listen, ""},
	{"unlisten x", sqllex.Unlisten, ""},
	{"unlisten *", unlisten, ""},
	{"unlisten /**/ *;", unlisten, ""},
	{"listen x; unlisten *", listen | unlisten, ""},
	{"unlisten *; listen x", listen, ""},
	{"unlisten *; rollback", rollback, ""},
	{"unlisten *; call p()", dirty, ""},

	// Advisory locks.
	{"select pg_advisory_lock(1)", lock, ""},
	{"select pg_try_advisory_lock_shared(1, 2)", lock, ""},
	{"select * from t where pg_catalog.pg_advisory_lock_shared(id)", lock, ""},
	{`select "pg_try_advisory_lock"(1)`, lock, ""},
	{`select U&"pg_advisory\005flock"(1)`, lock, ""},
	{`select U&"pg_advisory+00005flock" uescape '+' (1)`, none, ""}, // PostgreSQL refuses + as escape
	{"prepare p as select pg_advisory_lock(1)", prepare | lock, ""},
	{"select pg_advisory_unlock_all()", unlock, ""},
	{"select pg_catalog.pg_advisory_unlock_all();", unlock, ""},
	{"select pg_advisory_unlock_all() where false", none, ""},
	{"select case when false then pg_advisory_unlock_all() end", none, ""},
	{"select pg_advisory_lock(1), pg_advisory_unlock_all()", lock, ""},
	{"select pg_advisory_unlock_all(); select pg_advisory_lock(1)", lock, ""},
	{"select pg_advisory_unlock_all(); close all; unlisten *; reset all;", // asyncpg
		unlock | closeAll | unlisten | resetAll, ""},

	// Temporary objects.
	{"create temp table x ()", temp, ""},
	{"create local temporary table x ()", temp, ""},
	{"create global temp table x ()", temp, ""},
	{"create or replace temp view x as select 1", temp, ""},
	{"create temporary sequence s", temp, ""},
	{"create temp recursive view v(a) as select 1", temp, ""},
	{"create table pg_temp.x ()", temp, ""},
	{`create table "pg_temp".x ()`, temp, ""},
	{`create table U&"pg\005ftemp".x ()`, temp, ""},
	{"create function pg_temp.f() returns int language sql as 'select 1'", temp, ""},
	{"select 1 as a into temp x", temp, ""},
	{"select 1 into local temporary table x", temp, ""},
	{"explain analyze create temp table x as select 1", temp, ""},
	{"create schema s create temp table t ()", temp, ""},
	{"drop table pg_temp_3.x", temp, ""},
	{"create table \"temp\" ()", none, ""},
	{"discard temp", sqllex.DiscardTemp, ""},
	{"discard temporary", sqllex.DiscardTemp, ""},
	{"create temp table x (); discard temp", temp | sqllex.DiscardTemp, ""},

	// Cursors, LOAD, DISCARD, what cannot be reset.
	{"declare C cursor with hold for select 1", hold, "c"},
	{"declare c binary insensitive scroll cursor with /* x */ hold for select 1", hold, "c"},
	{`declare "C" cursor with hold for select 1`, hold, "C"},
	{`declare U&"c" cursor with hold for select 1`, hold, ""},
	{"declare é cursor with hold for select 1", hold, ""},
	{"begin; declare c cursor with hold for select 1", begin | hold, ""},
	{"close all", closeAll, ""},
	{"CLOSE C;", sqllex.Close, "c"},
	{`close "all"`, sqllex.Close, "all"},
	{`close U&"c"`, none, ""},
	{"close é", none, ""},
	{"close", none, ""},
	{"close c; select 1", none, ""},
	{"declare c cursor with hold for select 1; close c", hold, ""},
	{"load 'auto_explain'", load, ""},
	{"discard all", discard, ""},
	{"discard plans", sqllex.DiscardPlans, ""},
	{"discard sequences", sqllex.DiscardSequences, ""},
	{"select pg_create_physical_replication_slot('x', false, true)", slot, ""},
	{"select pg_backup_start('x')", slot, ""},

	// What is spelled so that it looks like something else.
	{"select set_config('a', 'b', t) from (select false) as x(t)", setOther, ""}, // a column
	{"select set_config('a', 'b', yes) from (select false) as x(yes)", setOther, ""},
	{"select set_config('a', 'b', TRUE)", setLocal, ""},
	{"select insert into temp x from (select 1 as insert) as y", temp, ""}, // another column
	{"with a as (select 1) insert into temp values (1)", temp, ""},         // a table: of two readings the safe one
	{`select U&"pg_advisory!005flock" uescape '!'` + "\n'' (1)", lock, ""},
	{`select U&"pg_advisory!005flock" uescape E'\x21' (1)`, lock, ""},
	{`select U&"pg_advisory!005flock" uescape $$!$$ (1)`, lock, ""},
	{"create function f() returns void begin atomic select 1; select pg_advisory_unlock_all(); end", commit, ""},
	{"set \"a.\u00c9\u212aX\" = 1", setLone, "a.\u00c9\u212ax"}, // PostgreSQL folds ASCII alone

	// Whatever runs other SQL.
	{"do $$begin end$$", dirty, ""},
	{"do language plpgsql 'begin end'", dirty, ""},
	{"call p()", dirty, ""},
	{"execute p", dirty, ""},
	{"explain analyze execute p(1)", dirty, ""},
	{"create table x as execute p", dirty, ""},
	{"create table x as /**/ EXECUTE p", dirty, ""},
	{"update pg_settings set setting = 1", dirty, ""},
	{`update pg_catalog."pg_settings" set setting = 1`, dirty, ""},
	{"select query_to_xml('select 1', true, true, '')", dirty, ""},
	{"select query_to_xml_and_xmlschema('select 1', true, true, '')", dirty, ""},
	{"select cursor_to_xmlschema('c', true, true, '')", dirty, ""},
	{"select ts_stat('select 1')", dirty, ""},
	{"select ts_rewrite(q, 'select 1')", dirty, ""},
	{"select dblink_connect('x'), dblink('y')", dirty, ""},
	{"select * from crosstab('select 1') as t(a int)", dirty, ""},
	{`select "dblink_exec"('x')`, dirty, ""},

	// Transactions and read_only.
	{"begin", begin, ""},
	{"start transaction isolation level serializable", begin, ""},
	{"begin; select 1; commit", begin | commit, ""},
	{"end", commit, ""},
	{"commit and chain", commit, ""},
	{"abort work", rollback, ""},
	{"rollback transaction", rollback, ""},
	{"begin read write", begin | readWrite, ""},
	{"begin isolation level serializable, READ /**/ WRITE, deferrable", begin | readWrite, ""},
	{"start transaction read only", begin, ""},
	{"set transaction read write", setTx | readWrite, ""},
	{"set session characteristics as transaction read write", setOther | readWrite, ""},
	{"set transaction_read_only = off", setTx | readWrite, ""},
	{"set transaction_read_only to on", setTx, ""},
	{"set local transaction_read_only = 'f'", setTx | readWrite, ""},
	{`set "transaction_read_only" = on`, setTx, ""},
	{"set default_transaction_read_only = off", setLone | readWrite, "default_transaction_read_only"},
	{"set default_transaction_read_only = 'TRUE'", setLone, "default_transaction_read_only"},
	{"set default_transaction_read_only = 1", setLone, "default_transaction_read_only"},
	{"set default_transaction_read_only to default", reset | readWrite, "default_transaction_read_only"},
	{"reset default_transaction_read_only", reset | readWrite, "default_transaction_read_only"},
	{"select set_config('transaction_read_only', 'off', true)", setTx | readWrite, ""},
	{"select set_config('transaction_read_only', 'on', true)", setTx, ""},
	{"select set_config('default_transaction_read_only', $1, true)", setLocal | readWrite, ""},
	{"reset all; delete from t", resetAll | readWrite, ""},
	{"alter role x set default_transaction_read_only = off", defaults | readWrite, ""},

	// Roles and databases.
	{"alter role x set work_mem = 1", defaults, ""},
	{"alter user all in database d reset all", defaults, ""},
	{"alter database x set work_mem = 1", defaults, ""},
	{"alter database x set tablespace y", defaults, ""},
	{"alter user mapping for x server y options (set password 'z')", none, ""},
	{"create role x login password 'y'", password, ""},
	{"alter user x with encrypted password 'y' valid until 'z'", password, ""},
	{"create role x set y", none, ""},
	{"drop database x", drop, "x"},
	{`drop database if exists "X" with (force)`, drop, "X"},
	{"drop database;listen x", drop | listen, ";"},
	{"alter database x rename to y", drop, "x"},
	{"alter database x owner to y", none, ""},

	// Strings and their settings.
	{`select E'\'; listen x; --'`, none, ""},
	{`select E'\\'; listen x; --'`, listen, ""},
	{"select e'a'\n'\\''; listen x; select ''", listen, ""}, // the continuation escapes too
	{"select 'a' -- x\n '; listen x; '", none, ""},
	{"select 'a' '; listen x; '", none, ""},
	{"select 'a'';listen x;'", none, ""},
	{`select '\'; listen x; select ''`, listen | opaque, ""}, // each under one of the settings
	{`select '\''; listen x; select ''`, listen | opaque, ""},
	{`set x = '\'`, setOther | opaque, ""}, // under one of them it has no end
	{`set x = 'C:\\'`, setLone, "x"},       // the same under both
	{`set x = '\a'`, setLone, "x"},
	{`select set_config('r\ole', 'x', false)`, setOther | role, ""}, // under one it is the role
	{`set search_path = 'pg\_temp'`, setOther | temp, ""},
	{"select $a$ $b$ $a; listen x; $a$", none, ""},
	{"select a$b$; listen x; --$b$", listen, ""}, // $ within an identifier
	{"select 1$b$; listen x; $b$", none, ""},
	{"select $1; listen x", listen, ""},
	{`select "a""; listen x; """`, none, ""},
	{"select U&'\\'; listen x; --'", listen, ""}, // \ does not escape a quote here
	{"select n'x'; listen x", listen, ""},
	{"select b'1'; listen x", listen, ""},
	{"select 1 --1; listen x", none, ""},
	{"select 1 -/*; listen x; */ 1", none, ""},
	{"select 1 -+--\n; listen x", listen, ""},

	// Without an end.
	{"select 'x", opaque, ""},
	{`select "x`, opaque, ""},
	{"select $$x", opaque, ""},
	{"/* x", opaque, ""},
	{"/* /* x */", opaque, ""},
	{"unlisten *; select 'x", opaque, ""},
}

func TestClassify(t *testing.T) {
	for _, tt := range classifyTests {
		got := sqllex.Classify(tt.sql)
		name := got.Setting + got.Name + got.Database + got.Cursor
		if got.Flags &^= creates | tempPath; got.Flags != tt.want || name != tt.name {
			t.Errorf("%q: got %s %q, want %s %q", tt.sql, got.Flags, name, tt.want, tt.name)
		}
	}
}

func TestFlagsString(t *testing.T) {
	if got, want := (listen | temp | begin).String(), "listen,temp,begin"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for bit := range 64 {
		f := sqllex.Flags(1) << bit
		for _, tt := range classifyTests {
			if tt.want&f != 0 && f.String() == "" {
				t.Errorf("flag %d has no name", bit)
			}
		}
	}
}
