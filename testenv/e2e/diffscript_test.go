package e2e

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
)

// script makes one client's random requests. The same seed makes the same script.
type script struct {
	*rand.Rand
	mark   string // in every row the client asks for
	logins int
	whole  bool // no Query stands between an Execute and its Sync, which PostgreSQL 18 gets wrong: docs/transparency.md
}

// login begins a session with a table of its own: what a vanished session leaves in another is not
// the same on both sides.
func (s *script) login() []byte {
	s.logins++
	return joined(Query("create table "+s.table()+" (n int, mark text)"), terminator)
}

func newScript(seed uint64, client int) *script {
	return &script{Rand: rand.New(rand.NewPCG(seed, uint64(client))), mark: fmt.Sprintf("c%02d", client)}
}

// terminator ends a step whatever state it has left: three empty queries answer IZ even in a failed
// transaction, and nothing else in a script does so three times in a row.
var terminator = joined(Msg('S', ""), Query(""), Query(""), Query(""))

func joined(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// step is some requests, pipelined.
func (s *script) step() []byte {
	var all []byte
	for range 1 + s.IntN(6) {
		all = append(all, s.atom()...)
	}
	if s.whole {
		all = inOrder(all)
	}
	return append(all, terminator...)
}

// inOrder is a step in which a Sync ends each batch before a Query or FunctionCall.
func inOrder(step []byte) (all []byte) {
	open := false
	for _, m := range splitClient(step) {
		switch m.Type {
		case 'Q', 'F':
			if open {
				all = append(all, Msg('S', "")...)
			}
			open = false
		case 'S':
			open = false
		case 'P', 'B', 'D', 'E', 'C':
			open = true
		}
		all = append(all, Msg(m.Type, string(m.Body))...)
	}
	return all
}

func (s *script) table() string { return fmt.Sprintf("diff.%s_%d", s.mark, s.logins) }

// sql is a statement of the client's.
func (s *script) sql() string {
	if s.IntN(3) == 0 {
		return s.word()
	}
	switch s.IntN(24) {
	case 0, 1:
		return "begin"
	case 2, 3, 4:
		return "commit"
	case 5:
		return "rollback"
	case 6:
		return "savepoint a"
	case 7:
		return "rollback to a"
	case 8:
		return "select 1/0, '" + s.mark + "'"
	case 9:
		return "selec"
	case 10:
		return fmt.Sprintf("set timezone = 'Etc/GMT+%d'", s.IntN(12))
	case 11:
		return fmt.Sprintf("set work_mem = '%dkB'", 100+s.IntN(900))
	case 12:
		return fmt.Sprintf("set local lock_timeout = '%ds'", 1+s.IntN(99))
	case 13:
		return []string{"reset work_mem", "reset timezone", "reset all", "set timezone to default", "discard all", "set lock_timeout = '9s'"}[s.IntN(6)]
	case 14:
		return "insert into " + s.table() + " values (" + fmt.Sprint(s.IntN(1000)) + ", '" + s.mark + "')"
	case 15:
		return "select count(*), '" + s.mark + "' from " + s.table()
	case 16:
		return fmt.Sprintf("select '%s', repeat('x', %d)", s.mark, s.IntN(40000))
	case 17:
		return fmt.Sprintf("select '%s' from generate_series(1, %d)", s.mark, s.IntN(40))
	case 18:
		return fmt.Sprintf("select '%s'; select 2, '%s'; set local statement_timeout = 0", s.mark, s.mark)
	case 19:
		return fmt.Sprintf("deallocate s%d", s.IntN(4))
	case 20:
		return "select set_config('lock_timeout', '3s', " + []string{"true", "false"}[s.IntN(2)] + ")"
	case 21:
		return "create temp table t (x int); drop table t; discard temp"
	}
	return "select '" + s.mark + "', current_setting('timezone'), current_setting('work_mem'), current_setting('lock_timeout')"
}

// atom is one request or batch.
func (s *script) atom() []byte {
	switch s.IntN(20) {
	case 0, 1, 2, 3, 4:
		return Query(s.sql())
	case 5:
		return Msg('S', "")
	case 6:
		return s.copyIn()
	case 7:
		return Query("copy (select '" + s.mark + "' from generate_series(1, 20)) to stdout")
	case 8:
		return s.functionCall()
	case 9:
		return Msg('H', "")
	case 10, 11, 12:
		return s.odd()
	}
	return s.batch()
}

// batch is some extended messages, mostly with a Sync.
func (s *script) batch() []byte {
	var all []byte
	for range 1 + s.IntN(3) {
		name := ""
		if s.IntN(2) == 0 {
			name = fmt.Sprintf("s%d", s.IntN(4))
		}
		portal := []string{"", "", "", "p"}[s.IntN(4)]
		parsed, described := s.IntN(5) > 0, s.IntN(6) == 0
		switch {
		case parsed:
			all = append(all, Msg('P', name+"\x00"+s.batchSQL()+"\x00\x00\x00")...)
		case described: // not in a failed block, where what must be prepared again cannot be: docs/transparency.md
			all = append(all, Query("rollback")...)
		}
		if described {
			all = append(all, Msg('D', "S"+name+"\x00")...)
		}
		all = append(all, Msg('B', portal+"\x00"+name+"\x00\x00\x00\x00\x00\x00\x00")...)
		if s.IntN(2) == 0 {
			all = append(all, Msg('D', "P"+portal+"\x00")...)
		}
		limit := binary.BigEndian.AppendUint32(nil, uint32([]int{0, 0, 0, 3}[s.IntN(4)]))
		all = append(all, Msg('E', portal+"\x00"+string(limit))...)
		switch s.IntN(8) {
		case 0:
			all = append(all, Msg('C', "S"+name+"\x00")...)
		case 1:
			all = append(all, Msg('C', "P"+portal+"\x00")...)
		case 2:
			all = append(all, Msg('S', "")...)
		case 3:
			all = append(all, Query(s.sql())...)
		}
	}
	if s.IntN(8) > 0 {
		all = append(all, Msg('S', "")...)
	}
	return all
}

// batchSQL is sql, but one statement, which is read alike under any client_encoding and standard_conforming_strings, and
// whatever SQL has prepared meanwhile: one that must be prepared again is read again.
func (s *script) batchSQL() string {
	for {
		if sql := s.sql(); !strings.ContainsAny(sql, ";é\\") && !strings.HasPrefix(sql, "execute") {
			return sql
		}
	}
}

// copyIn is COPY FROM, with everything that may go wrong in it.
func (s *script) copyIn() []byte {
	command := "copy " + s.table() + " from stdin"
	var all []byte
	extended := s.IntN(2) == 0
	if extended {
		all = joined(Msg('P', "\x00"+command+"\x00\x00\x00"), Msg('B', "\x00\x00\x00\x00\x00\x00\x00\x00"), Msg('E', "\x00\x00\x00\x00\x00"))
		if s.IntN(2) == 0 {
			all = append(all, Msg('S', "")...)
		}
	} else {
		all = Query(command)
	}
	for range s.IntN(5) {
		row := fmt.Sprintf("%d\t%s\n", s.IntN(1000), s.mark)
		if s.IntN(8) == 0 {
			row = "not a number\n"
		}
		cut := s.IntN(len(row))
		all = append(append(all, Msg('d', row[:cut])...), Msg('d', row[cut:])...)
	}
	if s.IntN(4) == 0 {
		all = append(all, Msg('f', "changed my mind\x00")...)
	} else {
		all = append(all, Msg('c', "")...)
	}
	// The unnamed statement must not start a COPY that gets no data.
	return append(all, joined(Msg('S', ""), Msg('C', "S\x00"), Msg('S', ""))...)
}

// functionCall calls lo_creat's kin: lo_unlink of what does not exist, or malformed.
func (s *script) functionCall() []byte {
	body := binary.BigEndian.AppendUint32(nil, 964) // lo_unlink
	body = append(body, 0, 1, 0, 1, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0, 0, 1)
	return Msg('F', string(body))
}
