package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// taken are ways by which a name of the protocol comes to mean what SQL prepares or declares: NAME is the
// name, in RAN stands the text that then runs by it. doubt: which of the two ran is not to be known.
var taken = []struct {
	name  string
	doubt bool
	send  [][]byte // each ends in one ReadyForQuery
}{
	{"deallocate", false, [][]byte{sequence(parseMsg("NAME", "INNOCENT"), syncMsg()), Query("deallocate NAME"), Query("prepare NAME as RAN"), sequence(bindMsg("", "NAME"), executeMsg(""), syncMsg())}},
	{"deallocate, spelled", false, [][]byte{sequence(parseMsg("NAME", "INNOCENT"), syncMsg()), Query(`/* */deallocate prepare U&"NAME"`), Query("prepare NAME as RAN"), sequence(bindMsg("", "NAME"), executeMsg(""), syncMsg())}},
	{"deallocate all", false, [][]byte{sequence(parseMsg("NAME", "INNOCENT"), syncMsg()), Query("prepare x as select 1; deallocate all; select 1"), Query("prepare NAME as RAN"), sequence(bindMsg("", "NAME"), executeMsg(""), syncMsg())}},
	{"discard all", false, [][]byte{sequence(parseMsg("NAME", "INNOCENT"), syncMsg()), Query("discard all"), Query("prepare NAME as RAN"), sequence(bindMsg("", "NAME"), executeMsg(""), syncMsg())}},
	{"deallocate, in one text", true, [][]byte{sequence(parseMsg("NAME", "INNOCENT"), syncMsg()), Query("deallocate NAME; prepare NAME as RAN"), sequence(bindMsg("", "NAME"), executeMsg(""), syncMsg())}},
	{"deallocate by Execute", false, [][]byte{
		sequence(parseMsg("NAME", "INNOCENT"), syncMsg()),
		sequence(parseMsg("", "deallocate NAME"), bindMsg("", ""), executeMsg(""), parseMsg("", "prepare NAME as RAN"), bindMsg("", ""), executeMsg(""), bindMsg("", "NAME"), executeMsg(""), syncMsg()),
	}},
	{"close", true, [][]byte{Query("begin"), sequence(parseMsg("", "INNOCENT"), bindMsg("NAME", ""), syncMsg()), Query("close NAME"), Query("declare NAME cursor for RAN"), sequence(executeMsg("NAME"), syncMsg()), Query("commit")}},
	{"close all", false, [][]byte{Query("begin"), sequence(parseMsg("", "INNOCENT"), bindMsg("NAME", ""), syncMsg()), Query("close all"), Query("declare NAME cursor for RAN"), sequence(executeMsg("NAME"), syncMsg()), Query("commit")}},
	{"commit", false, [][]byte{Query("begin"), sequence(parseMsg("", "INNOCENT"), bindMsg("NAME", ""), syncMsg()), Query("commit; begin; declare NAME cursor for RAN"), sequence(executeMsg("NAME"), syncMsg()), Query("commit")}},
	{"rollback", true, [][]byte{Query("begin"), sequence(parseMsg("", "INNOCENT"), bindMsg("NAME", ""), syncMsg()), Query("rollback; begin; declare NAME cursor for RAN"), sequence(executeMsg("NAME"), syncMsg()), Query("commit")}},
	{"savepoint", true, [][]byte{Query("begin; savepoint a"), sequence(parseMsg("", "INNOCENT"), bindMsg("NAME", ""), syncMsg()), Query("rollback to a"), Query("declare NAME cursor for RAN"), sequence(executeMsg("NAME"), syncMsg()), Query("commit")}},
	{"all at once", false, [][]byte{sequence(
		Query("begin"), parseMsg("", "INNOCENT"), bindMsg("NAME", ""), parseMsg("", "commit"), bindMsg("", ""), executeMsg(""),
		parseMsg("", "begin"), bindMsg("", ""), executeMsg(""), parseMsg("", "declare NAME cursor for RAN"), bindMsg("", ""), executeMsg(""), executeMsg("NAME"), syncMsg()), nil, Query("commit")}},
}

// What SQL has prepared or declared by a name that a client's message had given is never recorded as the
// message's text, unless the record says that it may be another.
func TestNamesThatSQLTookOver(t *testing.T) {
	w := Shared(t)
	for _, delivery := range []string{"best_effort", "strict"} {
		t.Run(delivery, func(t *testing.T) {
			t.Parallel()
			b := w.Start(t, Options{Rules: people, Audit: `delivery = "` + delivery + `"`})
			for i, way := range taken {
				c := b.login(t, w.Client("app"), "app")
				r := strings.NewReplacer("NAME", fmt.Sprint("n", i), "INNOCENT", fmt.Sprintf("select 'innocent %d' ", i), "RAN", fmt.Sprintf("select 'what ran %d'", i))
				var answers strings.Builder
				for _, send := range way.send {
					c.Send(replaced(send, r))
					for _, m := range c.ReadUntil('Z') {
						answers.WriteString(string(m.Type) + string(m.Body))
					}
				}
				if all := answers.String(); !strings.Contains(all, fmt.Sprint("what ran ", i)) || strings.Contains(all, fmt.Sprint("innocent ", i)) {
					t.Fatalf("%s: the wrong one ran: %q", way.name, all)
				}
				c.Close()
			}
			b.Records("session.close", len(taken))
			checkTaken(t, b)
		})
	}
}

// replaced applies r to the bodies of messages.
func replaced(messages []byte, r *strings.Replacer) (out []byte) {
	for len(messages) > 0 {
		n := 1 + int(messages[1])<<24 + int(messages[2])<<16 + int(messages[3])<<8 + int(messages[4])
		out = append(out, Msg(messages[0], r.Replace(string(messages[5:n])))...)
		messages = messages[n:]
	}
	return out
}

// checkTaken finds the Execute of each way, and what the record says of it in both of its lines.
func checkTaken(t *testing.T, b *Broker) {
	t.Helper()
	type run struct{ text, message string }
	runs := make(map[string]*run)
	for _, r := range b.readRecords("statement") {
		s := r["stmt"].(map[string]any)
		if s["op"] != "execute" {
			continue
		}
		id := fmt.Sprint(r["sid"], s["id"])
		if runs[id] == nil {
			runs[id] = &run{}
		}
		if text, ok := s["text"].(string); ok {
			runs[id].text = text
		}
		if message, ok := s["message"].(string); ok {
			runs[id].message = message
		}
	}
	var innocent, doubtful int
	for _, r := range runs {
		if strings.Contains(r.text, "innocent") {
			if innocent++; r.message == "" {
				t.Errorf("recorded as run, without a doubt: %s", r.text)
			}
		}
		if strings.Contains(r.message, "may mean") {
			doubtful++
		}
	}
	want := 0
	for _, way := range taken {
		if way.doubt {
			want++
		}
	}
	if doubtful != want {
		t.Errorf("%d statements are in doubt, want %d", doubtful, want)
	}
}

// To bind a statement is to plan it, and a function that calls itself immutable runs then: whoever never
// executes the portal has had something done all the same, and it is recorded.
func TestBindAloneIsRecorded(t *testing.T) {
	w := Shared(t)
	for _, delivery := range []string{"best_effort", "strict"} {
		t.Run(delivery, func(t *testing.T) {
			t.Parallel()
			b := w.Start(t, Options{Rules: people, Audit: `delivery = "` + delivery + `"`})
			c := b.login(t, w.Client("app"), "app")
			for _, send := range [][]byte{
				Query("create temp table seen (n int)"),
				Query("create function pg_temp.note() returns int language plpgsql as 'begin insert into seen values (1); return 1; end'"),
				Query("create function pg_temp.sly() returns int immutable language plpgsql as 'begin return pg_temp.note(); end'"),
				sequence(parseMsg("", "select pg_temp.sly()"), bindMsg("", ""), syncMsg()),
			} {
				c.Send(send)
				c.ReadUntil('Z')
			}
			c.Send(Query("select 'ran ' || count(*) from seen"))
			ran := false
			for _, m := range c.ReadUntil('Z') {
				ran = ran || m.Type == 'D' && strings.Contains(string(m.Body), "ran 1")
			}
			if !ran {
				t.Fatal("the function did not run: the test proves nothing")
			}
			want := []string{"create temp table", "note()", "sly()", "bind select pg_temp.sly() 00000", "query select 'ran '"}
			got := b.statements(len(want))
			for i := range want {
				if i >= len(got) || !strings.Contains(got[i], want[i]) {
					t.Errorf("got\n%s\nwant line %d to have %q", strings.Join(got, "\n"), i, want[i])
				}
			}
		})
	}
}
