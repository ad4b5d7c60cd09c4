package relay

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
)

// outcomes is an Observer that notes what it is told.
type outcomes struct {
	mu   sync.Mutex // a timer tells, too
	list []string
}

func (*outcomes) Start(context.Context, []*Statement) error { return nil }
func (*outcomes) Copied(*Copy)                              {}
func (l *outcomes) Done(s *Statement) {
	line := fmt.Sprintf("%d %s %s %s", s.ID, s.Op, s.Text, s.SQLState)
	if s.Tx != 0 {
		line += " " + string(rune(s.Tx))
	}
	if s.Undone {
		line += " undone"
	}
	if s.Undoes != 0 {
		line += fmt.Sprint(" undoes ", s.Undoes)
	}
	if s.Perhaps {
		line += " perhaps"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, line)
}

// told is what was told since the last call.
func (l *outcomes) told() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.Join(l.list, ", ")
	l.list = nil
	return all
}

func extended(sql string) []byte {
	return flow(message(pgwire.MsgParse, "\x00"+sql+"\x00\x00\x00"), message(pgwire.MsgBind, "\x00\x00\x00\x00\x00\x00\x00\x00"),
		message(pgwire.MsgExecute, "\x00\x00\x00\x00\x00"))
}

// unsynced is the answer to extended.
func unsynced(tag string) []byte {
	return flow(message('1', ""), message('2', ""), message('C', tag+"\x00"))
}

// A statement whose batch goes on is told of a second after its end, without the state of its transaction, and
// what that becomes with the batch's end: by a record of its own when nothing else is left to say it.
func TestHeldStatementsAreToldInTime(t *testing.T) {
	sync, ready := message(pgwire.MsgSync, ""), message('Z', "I")
	failure := message('E', "SERROR\x00C23503\x00Mbroken\x00\x00")
	synctest.Test(t, func(t *testing.T) {
		to := &outcomes{}
		s, server := audited(to, DetailStatements)
		server.ID = 7
		step := func(request []byte, replies ...[]byte) {
			t.Helper()
			s.watch.begin()
			s.watch.scan(s, request, 0, clockNow())
			s.box.reset()
			s.watch.sending(time.Now())
			s.plan(server, request)
			for _, b := range replies {
				server.spans.reset()
				server.scan(b)
				s.watch.pause()
			}
		}
		want := func(what, list string) {
			t.Helper()
			if got := to.told(); got != list {
				t.Errorf("%s: told %q, want %q", what, got, list)
			}
		}
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait() // what is due at that very moment
		}
		step(extended("insert a"), unsynced("INSERT 0 1"))
		pass(holdLimit - time.Millisecond)
		want("a moment before the limit", "")
		step(extended("insert b"), unsynced("INSERT 0 1"))
		pass(time.Millisecond)
		want("at the limit", "1 execute insert a 00000")
		pass(holdLimit)
		want("at the second one's limit", "2 execute insert b 00000")
		step(sync, ready)
		want("the batch's end", "3 sync  00000 I")

		step(extended("insert c"), unsynced("INSERT 0 1"))
		pass(holdLimit)
		step(extended("insert d"), unsynced("INSERT 0 1"))
		step(sync, failure, ready)
		want("the commit fails", "4 execute insert c 00000, 5 execute insert d 23503 I undoes 4")

		step(extended("insert e"), unsynced("INSERT 0 1"))
		pass(holdLimit)
		step(sync, failure, ready)
		want("the commit fails, and all was told", "6 execute insert e 00000, 7 sync  23503 I undoes 6")

		step(flow(extended("insert f"), extended("insert g"), sync), flow(unsynced("INSERT 0 1"), unsynced("INSERT 0 1")), failure, ready)
		want("the commit fails in time", "8 execute insert f 00000 I undone, 9 execute insert g 23503 I undoes 8")

		step(flow(extended("insert h"), sync), flow(unsynced("INSERT 0 1"), ready))
		pass(2 * holdLimit)
		want("an ordinary one", "10 execute insert h 00000 I")

		bind := flow(message(pgwire.MsgParse, "\x00select f()\x00\x00\x00"), message(pgwire.MsgBind, "p\x00\x00\x00\x00\x00\x00\x00\x00"))
		step(bind, flow(message('1', ""), message('2', "")))
		pass(holdLimit)
		want("a portal that is not executed", "11 bind select f() 00000")
		step(flow(message(pgwire.MsgExecute, "p\x00\x00\x00\x00\x00"), sync), message('C', "SELECT 1\x00"), ready)
		want("a portal that is executed at last", "12 execute select f() 00000 I")
		step(flow(bind, message(pgwire.MsgExecute, "p\x00\x00\x00\x00\x00"), sync), flow(unsynced("SELECT 1"), ready))
		pass(holdLimit)
		want("one that is executed at once", "13 execute select f() 00000 I")
		synctest.Wait()
		if s.watch.alone != 0 || s.watch.armed {
			t.Errorf("%d portals wait for their execution, timer %v", s.watch.alone, s.watch.armed)
		}

		step(extended("insert i"), unsynced("INSERT 0 1"))
		var end Result
		s.watch.over(&end)
		if want("the end of the session", "14 execute insert i 00000"); end.Undoes != 14 || end.Perhaps {
			t.Errorf("the end of the session undoes %d, perhaps %v", end.Undoes, end.Perhaps)
		}
		if s.watch.armed && s.watch.timer.Stop() {
			t.Error("the session's end leaves a timer")
		}
	})
}
