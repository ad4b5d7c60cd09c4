package e2e

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// words are statements that a script draws beside those of sql: %M stands for the client's mark, %T for its
// table, %L for a number that no other session has, %N for a random digit.
var words = []string{
	"", " ; ", "select", "select from generate_series(1, %N)", "select '%M' /* ; */ -- '\n",
	"begin isolation level serializable read only", "start transaction read write", "commit and chain", "rollback and chain", "release a",
	"set transaction read only", "show transaction_isolation", "set session characteristics as transaction isolation level repeatable read",
	"begin; select '%M'; commit", "select '%M'; select 1/0; select '%M'", "begin; insert into %T values (%N, '%M'); select 1/0", "commit; select '%M'",
	"insert into %T values (%N, '%M'); begin; select '%M'", "insert into %T values (%N, '%M'); rollback", "insert into %T values (%N, '%M') returning *",
	"set session work_mem = '20%NkB'", "set datestyle = 'german'", "set datestyle = 'iso, mdy'", "set application_name = 'a%N'", "set local timezone = 'Etc/GMT-%N'",
	"set client_encoding = 'latin1'", "set client_encoding = 'sjis'", "set names 'utf8'", "select '%M', 'é', length('é'), chr(23%N)",
	"set search_path = diff", "set search_path to default", "show search_path", "set extra_float_digits = %N", "set diff.g%N = '%M %N'", "select nullif(current_setting('diff.g%N', true), '')",
	"set standard_conforming_strings = off", "set standard_conforming_strings = on", `select '%M', '\'`, `select '%M\''; set work_mem = '333kB' --'`, `select E'%M\'; set work_mem = 1; --'`,
	"set default_transaction_read_only = on", "set default_transaction_read_only = off", "set nonsense = 1", "set work_mem = 'nonsense'", "show work_mem",
	"set role none", "set session authorization default", "set role alice", "set role bob", "reset role", "reset session authorization", "select current_user, session_user",
	"declare c cursor with hold for select '%M', n from generate_series(1, 9) n", "declare d cursor for select '%M', n from generate_series(1, 9) n",
	"fetch %N from c", "fetch %N from d", "move 2 in c", "close c", "close d", "close all",
	"prepare q as select '%M', $1::int + %N", "execute q (%N)", "execute q", "deallocate q", "deallocate prepare q", "deallocate all",
	"discard plans", "discard temp", "discard sequences", "discard all", "reset all",
	"create temp table tt (n int)", "create temp table tt (n int) on commit drop", "insert into tt values (%N)", "select '%M', count(*) from tt", "drop table tt", "drop table if exists tt",
	"listen ch%L", "notify ch%L, '%M %N'", "unlisten ch%L", "unlisten *", "select pg_notify('ch%L', '%M')",
	"select pg_advisory_lock(%L)", "select pg_advisory_unlock(%L)", "select pg_try_advisory_lock_shared(%L)", "select pg_advisory_xact_lock(%L)", "select pg_advisory_unlock_all()",
	"do $$ begin for i in 1..20%N loop raise notice '%M % %', i, repeat('n', %N); end loop; end $$", "do $x$ begin raise exception '%M' using errcode = 'P0%N01'; end $x$",
	"select '%M', 1/(n-5) from generate_series(1, 10) n", "copy (select '%M', 1/(n-5) from generate_series(1, 10) n) to stdout", "copy (select * from %T order by 1, 2) to stdout", "copy (select '%M') to stdout; select '%M'",
	"alter table %T add constraint u%N_%L unique (n) deferrable initially deferred", "alter table %T drop constraint if exists u%N_%L", "set constraints all deferred", "set constraints all immediate",
	"update %T set n = %N", "delete from %T", "truncate %T", "select * from %T order by n limit 3", "explain (costs off) select * from %T", "create type diff.ty%L as enum ('a', 'b')",
	"drop type diff.ty%L", "select 'a'::diff.ty%L, '%M'", "lock table %T", "analyze %T", "vacuum %T", "show all_of_it", "table %T order by 1, 2 limit 1", "values ('%M', %N)",
	"select set_config('timezone', 'Etc/GMT+%N', true), '%M'", "select set_config('datestyle', 'sql', false)", "select lo_unlink(%N), '%M'", "select pg_sleep(0.00%N)",
	"prepare transaction '%M'", "select txid_current_if_assigned() is null, '%M'", "checkpoint", "select pg_stat_clear_snapshot()", "load 'nonsense'", "call nothing()",
	"with x as (insert into %T values (%N, '%M') returning n) select '%M', n from x", "create view diff.v%L as select '%M' as m", "select * from diff.v%L", "drop view diff.v%L",
	"grant select on %T to bob", "comment on table %T is '%M'", "set local role bob", "set \"timezone\" = 'Etc/GMT+%N'", "SET TimeZone TO 'Etc/GMT+%N' ;", "/* x */ set timezone='Etc/GMT+%N' -- y",
	"set time zone %N", "set time zone local", "set xml option document", "set seed to 0.%N", "select '%M' into temp tt", "create table pg_temp.tt (n int)",
}

// word is one of words.
func (s *script) word() string {
	w := words[s.IntN(len(words))]
	if s.IntN(300) == 0 {
		w = "select '%M'" + strings.Repeat(", 1", 1599)
	}
	w = strings.ReplaceAll(w, "%T", s.table())
	w = strings.ReplaceAll(w, "%M", s.mark)
	w = strings.ReplaceAll(w, "%L", fmt.Sprintf("%s%d", s.mark[1:], s.logins))
	return strings.ReplaceAll(w, "%N", fmt.Sprint(s.IntN(10)))
}

// parameters is a statement with parameters, and a Bind that fits it, or not. No other name has its text: of two
// that have, an error may name either.
func (s *script) parameters(name, portal string) []byte {
	all := Msg('P', name+"\x00select '"+s.mark+"', $1::text, $2::int -- "+name+"\x00\x00\x01\x00\x00\x00\x19")
	if s.IntN(3) == 0 {
		all = append(all, Msg('D', "S"+name+"\x00")...)
	}
	value := strings.Repeat("v", []int{0, 3, 9000}[s.IntN(3)])
	number := []string{"\x00\x00\x00\x0217", "\xff\xff\xff\xff", "\x00\x00\x00\x03abc"}[s.IntN(3)]
	count := []string{"\x00\x02", "\x00\x02", "\x00\x02", "\x00\x01"}[s.IntN(4)]
	if count == "\x00\x01" {
		number = ""
	}
	formats := []string{"\x00\x00", "\x00\x01\x00\x00", "\x00\x02\x00\x01\x00\x00"}[s.IntN(3)]
	if count == "\x00\x01" && len(formats) > 4 {
		formats = "\x00\x00"
	}
	results := []string{"\x00\x00", "\x00\x01\x00\x01", "\x00\x03\x00\x00\x00\x00\x00\x01", "\x00\x02\x00\x00\x00\x00"}[s.IntN(4)]
	length := string(binary.BigEndian.AppendUint32(nil, uint32(len(value))))
	return joined(all, Msg('B', portal+"\x00"+name+"\x00"+formats+count+length+value+number+results), Msg('E', portal+"\x00\x00\x00\x00\x00"))
}

// odd is a request that clients seldom make. A portal is executed again only in a block of its own: an Execute of one
// that is left in a failed block crashes PostgreSQL 15.
func (s *script) odd() []byte {
	name := fmt.Sprintf("s%d", s.IntN(4))
	two := Msg('E', "p\x00\x00\x00\x00\x02")
	switch s.IntN(12) {
	case 0:
		return joined(Msg('C', "Sunheard\x00"), Msg('C', "Punheard\x00"), Msg('S', ""))
	case 1:
		return joined(Msg('E', "nothing\x00\x00\x00\x00\x02"), Msg('S', ""))
	case 2:
		return joined(Msg('D', "Pnothing\x00"), Msg('S', ""))
	case 3:
		return joined(Query("rollback"), Query("begin"), Msg('P', name+"\x00select '"+s.mark+"', n from generate_series(1, 5) n\x00\x00\x00"),
			Msg('B', "p\x00"+name+"\x00\x00\x00\x00\x00\x00\x00"), Msg('H', ""), two, Msg('S', ""), Msg('D', "Pp\x00"), two, Msg('S', ""), Query("savepoint b"), two, Msg('S', ""))
	case 4:
		return joined(Msg('S', ""), Msg('S', ""), Msg('H', ""), Msg('S', ""))
	case 5:
		return joined(Msg('P', "\x00"+s.word()+"; select 2\x00\x00\x00"), Msg('S', ""))
	case 6, 7, 8:
		return joined(s.parameters([]string{"", name}[s.IntN(2)], []string{"", "p"}[s.IntN(2)]), Msg('S', ""))
	case 9:
		return joined(Msg('P', "\x00\x00\x00\x00"), Msg('B', "\x00\x00\x00\x00\x00\x00\x00\x00"), Msg('E', "\x00\x00\x00\x00\x02"), Msg('S', ""), Query("select '"+s.mark+"'"))
	case 10: // late bytes of a COPY that has failed
		return joined(Query("copy nothing from stdin"), Msg('d', "1\n"), Msg('c', ""), Msg('f', "no\x00"))
	}
	data := joined(Msg('d', fmt.Sprintf("%d\t%s\n", s.IntN(9), s.mark)), Msg('H', ""), Msg('c', ""))
	return joined(Query("copy "+s.table()+" (n, mark) from stdin; copy "+s.table()+" (n, mark) from stdin; select '"+s.mark+"'"), data, data)
}
