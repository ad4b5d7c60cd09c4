package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a caller gives is its own again at once: the lines are of what it held at the call, in the order of
// the calls, with other records between.
func TestStatementsAreCopied(t *testing.T) {
	l := openTest(t, Config{})
	refs := &Refs{SID: "0199", Map: "api"}
	tags := []string{"", ""}
	ran := Ran{}
	want := []string{}
	for i := range 500 {
		tags[0], tags[1] = fmt.Sprintf("SELECT %d", i), fmt.Sprintf("INSERT 0 %d", i)
		ran = Ran{Stmt: Stmt{ID: uint64(i + 1), Phase: PhaseAll, Op: "query", Text: fmt.Sprintf("select %d;", i), Tags: tags[:i%3]}}
		group := ""
		if i%2 == 0 {
			ran.Conn, ran.PID = uint64(1000+i), uint32(i+1)
			group = fmt.Sprintf(`,"upstream":{"conn":%d,"pid":%d}`, 1000+i, i+1)
		}
		list := [...]string{"", fmt.Sprintf(`,"tags":["SELECT %d"]`, i), fmt.Sprintf(`,"tags":["SELECT %d","INSERT 0 %d"]`, i, i)}[i%3]
		want = append(want, fmt.Sprintf(`"sid":"0199","map":"api"%s,"stmt":{"id":%d,"phase":"all","op":"query","text":"select %d;"%s,`, group, i+1, i, list))
		var err error
		switch {
		case i%7 == 0:
			starts := []Ran{ran}
			ticket := l.SubmitStatements(refs, starts)
			clear(starts)
			err = ticket.Err()
		default:
			err = l.AppendStatement(refs, &ran)
		}
		if i%5 == 0 {
			l.Append(&Record{Event: ConfigReload, Reload: &Reload{Cause: fmt.Sprint(i)}})
			want = append(want, fmt.Sprintf(`"event":"config.reload","reload":{"cause":"%d",`, i))
		}
		if err != nil {
			t.Fatal(err)
		}
		ran, tags[0], tags[1] = Ran{Stmt: Stmt{Text: "another"}}, "another", "another"
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(l.cfg.Directory, "*"+segmentSuffix))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, `"event":"checkpoint"`) {
			got = append(got, line)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Fatalf("line %d is  %swant in it %s", i, got[i], want[i])
		}
	}
}

// A failing disk takes from the queue what is waited for and leaves the rest, each with its own text, in
// order; what is emptied points to nothing.
func TestQueueRefuses(t *testing.T) {
	q, one := queue{}, newScratch()
	refs := &Refs{SID: "0199"}
	for i := range 20 {
		if i%3 == 0 {
			q.add(&Record{Event: Statement, Stmt: &Stmt{Text: fmt.Sprint("r", i)}}, i%2 == 0)
		} else {
			q.addStatement(refs, &Ran{Stmt: Stmt{Text: fmt.Sprint("s", i), Tags: []string{"T"}}}, i%2 == 0)
		}
	}
	if n, m := q.waited(), q.refuse(); n != 10 || m != 10 || q.waited() != 0 {
		t.Errorf("%d were waited for and %d refused, want 10", n, m)
	}
	size, got := 0, ""
	for i := range q.entries {
		r := q.record(&q.entries[i], &one)
		got += r.Stmt.Text + " "
		size += len(r.Stmt.Text)
	}
	if want := "s1 r3 s5 s7 r9 s11 s13 r15 s17 s19 "; got != want || q.bytes != size {
		t.Errorf("left are %s and %d bytes, want %s and %d", got, q.bytes, want, size)
	}
	q.reset()
	for _, s := range q.slots[:cap(q.slots)] {
		if s.refs != nil || s.ran.Text != "" || s.tag[0] != "" {
			t.Fatalf("a slot still holds %+v", s)
		}
	}
	for _, e := range q.entries[:cap(q.entries)] {
		if e != (entry{}) {
			t.Fatalf("an entry still holds %+v", e)
		}
	}
	for range 5 * keepSlots {
		q.addStatement(refs, &Ran{}, false)
	}
	if q.reset(); cap(q.slots) < 5*keepSlots {
		t.Error("a busy queue gave its memory away")
	}
	q.addStatement(refs, &Ran{}, false)
	if q.reset(); cap(q.slots) != 0 {
		t.Errorf("memory for %d statements is kept after one", cap(q.slots))
	}
}
