package relay

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
)

// listener keeps what an Observer is told.
type listener struct{ told []Statement }

func (*listener) Start(context.Context, []*Statement) error { return nil }
func (*listener) Copied(*Copy)                              {}
func (l *listener) Done(s *Statement)                       { l.told = append(l.told, *s) }

// long is a text of 250 KiB that begins with its number.
func long(i int) string { return fmt.Sprintf("SELECT %05d %s", i, strings.Repeat("x", 250<<10)) }

// prepares has the client prepare a text by a name, as the server confirms.
func prepares(s *Session, server *Server, name, text string) {
	request := flow(message(pgwire.MsgParse, name+"\x00"+text+"\x00\x00\x00"), message(pgwire.MsgSync, ""))
	exchange(s, server, time.Now(), request, [][]byte{prepareReply})
}

// runs executes what was prepared.
func runs(s *Session, server *Server, name string) {
	request := flow(message(pgwire.MsgBind, "\x00"+name+"\x00\x00\x00\x00\x00\x00\x00"), message(pgwire.MsgExecute, "\x00\x00\x00\x00\x00"), message(pgwire.MsgSync, ""))
	exchange(s, server, time.Now(), request, [][]byte{flow(message('2', ""), message('C', "SELECT 1\x00"), message('Z', "I"))})
}

// The texts that a session's record needs are bounded: behind 16 MiB of them the Parse is told with its text, and
// executions with its beginning and length. What is deallocated makes room.
func TestPreparedTextsAreBounded(t *testing.T) {
	const n = 100
	l := &listener{}
	s, server := audited(l, DetailStatements)
	kept := 0
	for i := range n {
		prepares(s, server, fmt.Sprint("s", i), long(i))
		if len(l.told) == 0 {
			kept++
		}
	}
	held := 0
	for _, p := range s.watch.confirmed.stmts {
		held += len(p.tail)
	}
	if held != s.watch.confirmed.bytes || held > maxTexts+n*excerpt || kept != maxTexts/len(long(0)+"\x00\x00\x00") {
		t.Errorf("%d bytes are held, counted as %d, and %d texts whole; want %d bytes at most", held, s.watch.confirmed.bytes, kept, maxTexts)
	}
	if len(l.told) != n-kept || kept == n {
		t.Fatalf("%d Parses are told, want %d", len(l.told), n-kept)
	}
	if got := l.told[0]; got.Op != OpParse || got.Text != long(kept) || got.SQLState != "00000" {
		t.Errorf("the first that is one too many is told as %s of %d bytes, %s", got.Op, len(got.Text), got.SQLState)
	}
	for _, tt := range []struct {
		name, text string
		whole      int64
	}{
		{"s0", long(0), 0},
		{fmt.Sprint("s", n-1), long(n - 1)[:excerpt], int64(len(long(0)))},
	} {
		runs(s, server, tt.name)
		if got := l.told[len(l.told)-1]; got.Op != OpExecute || got.Text != tt.text || got.TextLen != tt.whole || got.TextSHA256 != "" {
			t.Errorf("%s is told as %s of %d bytes, length %d, hash %q", tt.name, got.Op, len(got.Text), got.TextLen, got.TextSHA256)
		}
	}

	exchange(s, server, time.Now(), message(pgwire.MsgQuery, "DEALLOCATE ALL\x00"), [][]byte{flow(message('C', "DEALLOCATE ALL\x00"), message('Z', "I"))})
	told := len(l.told)
	if prepares(s, server, "again", long(1)); len(l.told) != told || s.watch.confirmed.bytes != len(long(1))+3 {
		t.Errorf("behind DEALLOCATE ALL %d bytes are held, and a Parse is told: %v", s.watch.confirmed.bytes, len(l.told) != told)
	}
	if prepares(s, server, "again", "SELECT 1"); s.watch.confirmed.bytes != len("SELECT 1")+3 {
		t.Errorf("the name with another text: %d bytes", s.watch.confirmed.bytes)
	}
	exchange(s, server, time.Now(), flow(message(pgwire.MsgClose, "Sagain\x00"), message(pgwire.MsgSync, "")), [][]byte{flow(message('3', ""), message('Z', "I"))})
	if s.watch.confirmed.bytes != 0 {
		t.Errorf("with nothing prepared %d bytes", s.watch.confirmed.bytes)
	}
}

// An unclear DEALLOCATE puts every name there is in doubt, and none that comes behind it.
func TestUnclearDeallocate(t *testing.T) {
	l := &listener{}
	s, server := audited(l, DetailStatements)
	prepares(s, server, "old", "SELECT 1")
	unclear(s, server)
	prepares(s, server, "new", "SELECT 2")
	for name, want := range map[string]string{"old": nameInDoubt, "new": ""} {
		if runs(s, server, name); l.told[len(l.told)-1].Message != want {
			t.Errorf("%s is told with %q, want %q", name, l.told[len(l.told)-1].Message, want)
		}
	}
}

// unclear has the client deallocate a name that is not clear.
func unclear(s *Session, server *Server) {
	exchange(s, server, time.Now(), message(pgwire.MsgQuery, "DEALLOCATE a; SELECT 1\x00"),
		[][]byte{flow(message('C', "DEALLOCATE\x00"), message('C', "SELECT 1\x00"), message('Z', "I"))})
}

// BenchmarkUnclearDeallocate is what one costs, by how many names there are.
func BenchmarkUnclearDeallocate(b *testing.B) {
	for _, n := range []int{1, 1 << 14} {
		b.Run(fmt.Sprint("names=", n), func(b *testing.B) {
			s, server := audited(&keeper{}, DetailStatements)
			for i := range n {
				prepares(s, server, fmt.Sprint("s", i), "SELECT 1")
			}
			for b.Loop() {
				unclear(s, server)
			}
		})
	}
}
