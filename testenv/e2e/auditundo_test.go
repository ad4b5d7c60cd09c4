package e2e

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// unsynced is a statement of its own in the extended protocol, without a Sync.
func unsynced(sql string) []byte {
	return sequence(parseMsg("", sql), bindMsg("", ""), executeMsg(""))
}

// undoSteps are what sessions do to a table in which every statement leaves a mark of its own. Each
// session or is at rest in the end.
var undoSteps = []struct {
	name  string
	send  []byte
	ready int // ReadyForQuery to come
	rest  []byte
	again int
}{
	{name: "one", send: Query(mark("q1")), ready: 1},
	{name: "two in a text", send: Query(mark("q1") + ";" + mark("q2")), ready: 1},
	{name: "an error in a text", send: Query(mark("q1") + "; select 1/0"), ready: 1},
	{name: "a deferred constraint in a text", send: Query(mark("q1") + ";" + brokenMark("q2")), ready: 1},
	{name: "a batch", send: sequence(unsynced(mark("e1")), unsynced(mark("e2")), syncMsg()), ready: 1},
	{name: "an error in a batch", send: sequence(unsynced(mark("e1")), unsynced(mark("e2")), unsynced("select 1/(random()*0)::int"), unsynced(mark("e3")), syncMsg()), ready: 1},
	{name: "a syntax error in a batch", send: sequence(unsynced(mark("e1")), unsynced("select from where"), syncMsg()), ready: 1},
	{name: "an unknown name in a batch", send: sequence(unsynced(mark("e1")), bindMsg("", "nobody"), executeMsg(""), syncMsg()), ready: 1},
	{name: "an unknown portal described", send: sequence(unsynced(mark("e1")), Msg('D', "Pnobody\x00"), syncMsg()), ready: 1},
	{name: "a deferred constraint in a batch", send: sequence(unsynced(mark("e1")), unsynced(brokenMark("e2")), unsynced(mark("e3")), syncMsg()), ready: 1},
	{name: "two batches, the first in error", send: sequence(unsynced(mark("e1")), unsynced(brokenMark("e2")), syncMsg(), unsynced(mark("e3")), syncMsg()), ready: 2},
	{name: "committed within a batch", send: sequence(unsynced(mark("e1")), unsynced("commit"), unsynced(mark("e2")), unsynced("select 1/(random()*0)::int"), syncMsg()), ready: 1},
	{name: "rolled back within a batch", send: sequence(unsynced(mark("e1")), unsynced("rollback"), unsynced(mark("e2")), syncMsg()), ready: 1},
	{name: "begun within a batch", send: sequence(unsynced(mark("e1")), unsynced("begin"), unsynced(mark("e2")), syncMsg(), Query("rollback")), ready: 2},
	{name: "a batch, then a text in error", send: sequence(unsynced(mark("e1")), Query("select 1/0")), ready: 1},
	{name: "a batch, then a text", send: sequence(unsynced(mark("e1")), Query(mark("q1"))), ready: 1},
	{name: "a procedure in a batch", send: sequence(unsynced(mark("e1")), unsynced("do $$ begin commit; end $$"), unsynced(mark("e2")), unsynced("select 1/(random()*0)::int"), syncMsg()), ready: 1},
	{name: "committed", send: sequence(Query("begin"), Query(mark("q1")), Query("commit")), ready: 3},
	{name: "rolled back", send: sequence(Query("begin"), Query(mark("q1")), Query("rollback"), Query(mark("q2"))), ready: 4},
	{name: "a commit that is a rollback", send: sequence(Query("begin"), Query(mark("q1")), Query("select 1/0"), Query("commit"), Query(mark("q2"))), ready: 5},
	{name: "a prepare that is a rollback", send: sequence(Query("begin"), Query(mark("q1")), Query("select 1/0"), Query("prepare transaction 'undo'"), Query(mark("q2"))), ready: 5},
	{name: "rolled back in one text", send: Query("begin;" + mark("q1") + "; rollback"), ready: 1},
	{name: "a commit that fails", send: sequence(Query("begin"), Query(mark("q1")), Query(brokenMark("q2")), Query("commit"), Query(mark("q3"))), ready: 5},
	{name: "chained", send: sequence(Query("begin"), Query(mark("q1")), Query("commit and chain"), Query(mark("q2")), Query("rollback and chain"), Query(mark("q3")), Query("end")), ready: 7},
	{name: "a text that commits a part", send: sequence(Query("begin"), Query(mark("q1")+"; commit; begin; "+mark("q2")), Query("rollback")), ready: 3},
	{name: "left in a transaction", send: sequence(Query("begin"), Query(mark("q1"))), ready: 2},
	{name: "left in a batch", send: sequence(unsynced(mark("e1")), Msg('H', "")), rest: nil},
	{name: "told early, committed", send: sequence(unsynced(mark("e1")), Msg('H', "")), rest: syncMsg(), again: 1},
	{name: "told early, broken", send: sequence(unsynced(mark("e1")), unsynced(brokenMark("e2")), Msg('H', "")), rest: syncMsg(), again: 1},
	{name: "told early, an error", send: sequence(unsynced(mark("e1")), Msg('H', "")), rest: sequence(unsynced("select 1/(random()*0)::int"), syncMsg()), again: 1},
	{name: "told early, left", send: sequence(unsynced(mark("e1")), Msg('H', "")), rest: sequence(unsynced(mark("e2")), Msg('H', ""))},
}

// mark is a statement that leaves one row, NAME standing for the session that runs it.
func mark(what string) string { return "insert into undo_marks values ('NAME " + what + "')" }

// brokenMark is a statement that leaves one row and makes the commit fail.
func brokenMark(what string) string {
	return "insert into undo_marks values ('NAME " + what + "', true)"
}

// What the record says of every statement, that it stands or was rolled back, is what the table shows: whatever
// ended its batch or its transaction, and whenever its record was written.
func TestUndoneIsRecorded(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	w.Exec(t, "orders", `create table undo_marks (mark text, broken bool);
		create function undo_check() returns trigger language plpgsql as $$ begin if new.broken then raise 'broken' using errcode = '23514'; end if; return null; end $$;
		create constraint trigger undo_late after insert on undo_marks deferrable initially deferred for each row execute function undo_check();
		grant all on undo_marks to app`)
	for _, mode := range []string{"session", "transaction"} {
		for _, delivery := range []string{"best_effort", "strict"} {
			t.Run(mode+"/"+delivery, func(t *testing.T) {
				b := w.Start(t, Options{Rules: people, Pool: `mode = "` + mode + `"`, Audit: `delivery = "` + delivery + `"`})
				leaf := w.Client("app")
				var clients []*Wire
				name := func(i int, b []byte) []byte {
					name := fmt.Sprintf("%s %s %02d", mode[:1], delivery[:1], i) // as long as NAME would be, if that were so long
					return resized(b, "NAME", name)
				}
				for i, s := range undoSteps {
					c := b.login(t, leaf, "app")
					clients = append(clients, c)
					c.Send(name(i, s.send))
					for range s.ready {
						c.ReadUntil('Z')
					}
					if s.rest == nil && s.ready > 0 {
						c.Close()
					}
				}
				Poll(t, "what was answered and has no Sync", func() bool {
					early := 0
					for _, r := range b.readRecords("statement") {
						if stmt := r["stmt"].(map[string]any); stmt["sqlstate"] != nil && stmt["tx"] == nil {
							early++
						}
					}
					return early == 6
				})
				for i, s := range undoSteps {
					c := clients[i]
					if s.rest == nil && s.ready > 0 {
						continue
					}
					c.Send(name(i, s.rest))
					for range s.again {
						c.ReadUntil('Z')
					}
					if s.rest != nil && s.again == 0 {
						c.ReadUntil('C')
					}
					c.Close()
				}
				b.Records("session.close", len(undoSteps))
				inTable := make(map[string]bool)
				conn := b.Connect(t, leaf, "app", "orders")
				rows, err := conn.Query(t.Context(), "select mark from undo_marks")
				if err != nil {
					t.Fatal(err)
				}
				for rows.Next() {
					v, _ := rows.Values()
					inTable[v[0].(string)] = true
				}
				said := b.standing()
				for i, s := range undoSteps {
					for _, m := range marksOf(name(i, slices.Concat(s.send, s.rest))) {
						said, stands := cmp.Or(said[m], "undone"), inTable[m] // what the server passed over may have no record
						if want := map[bool]string{true: "stands", false: "undone"}[stands]; said != want && !strings.HasPrefix(said, "perhaps") {
							t.Errorf("%s: %q is %s by the record and %s by the table", s.name, m, said, want)
						}
						if strings.HasPrefix(said, "perhaps") && s.name != "a procedure in a batch" && s.name != "a text that commits a part" && s.name != "rolled back in one text" {
							t.Errorf("%s: %q is %s by the record", s.name, m, said)
						}
					}
				}
				b.verify(t)
			})
		}
	}
}

// standing says of every mark whether it stands by the rules in docs/audit.md.
func (b *Broker) standing() map[string]string {
	texts, said := make(map[string]string), make(map[string]string)
	list := make(map[string][]int) // of a session, its statements' numbers
	undo := func(sid string, from, to int, how string) {
		for _, id := range list[sid] {
			if id >= from && id <= to {
				for _, m := range marksOf([]byte(texts[fmt.Sprint(sid, id)])) {
					if said[m] == "stands" {
						said[m] = how
					}
				}
			}
		}
	}
	for _, r := range b.readRecords("") {
		sid, _ := r["sid"].(string)
		group, id := r["stmt"], 1<<30
		if group == nil {
			group = r["end"]
		}
		g, ok := group.(map[string]any)
		if !ok {
			continue
		}
		if r["event"] == "statement" {
			id = int(g["id"].(float64))
			key := fmt.Sprint(sid, id)
			if text, ok := g["text"].(string); ok {
				texts[key] = text
			}
			if g["phase"] == "start" {
				continue
			}
			list[sid] = append(list[sid], id)
			for _, m := range marksOf([]byte(texts[key])) {
				said[m] = "undone"
				if g["sqlstate"] == "00000" && g["undone"] == nil {
					said[m] = "stands"
				}
			}
		}
		if from, ok := g["undoes"].(float64); ok {
			undo(sid, int(from), id, "undone")
		}
		if from, ok := g["may_undo"].(float64); ok {
			undo(sid, int(from), id, "perhaps undone")
		}
	}
	return said
}

// marksOf are the marks of which a text speaks.
func marksOf(text []byte) (list []string) {
	for _, part := range strings.Split(string(text), "undo_marks values ('")[1:] {
		m, _, _ := strings.Cut(part, "'")
		list = append(list, m)
	}
	return list
}

// resized puts a longer or shorter word into messages.
func resized(b []byte, old, with string) (all []byte) {
	for len(b) > 0 {
		n := 1 + int(binary.BigEndian.Uint32(b[1:]))
		all = append(all, Msg(b[0], strings.ReplaceAll(string(b[5:n]), old, with))...)
		b = b[n:]
	}
	return all
}
