package relay

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/fakepg"
)

// Messages that servers say.
var (
	goodbye   = pgwire.AppendError(nil, &pgwire.Error{Severity: pgwire.Fatal, Code: "57P01", Message: "the server's"})
	selectOne = flow(message('C', "SELECT 1\x00"), message('Z', "I"))
)

// killed is an end that the broker decides.
var killed = End{Reason: "killed", Tell: &pgwire.Error{Severity: pgwire.Fatal, Code: "57P01", Message: "the broker's", Slug: "killed"}}

// W67: where the server and the broker end a session at the same instant, its client reads one FATAL, whichever was
// the first, and it is that one which the result and the record of the statement under way have.
func TestW67OneLastWord(t *testing.T) {
	for _, mode := range []Mode{SessionMode, TransactionMode} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Run("the server's is being forwarded", func(t *testing.T) {
				g, watcher := newStage(t, 2), &keeper{}
				b := g.open(Config{Mode: mode, Observer: watcher, Detail: DetailStatements})
				g.ask(simpleRequest)
				if b == nil {
					b = <-g.dialled
				}
				at := g.near.afterWrite()
				b.hears(t, pgwire.MsgQuery, goodbye)
				<-at.came
				g.session.End(killed)
				at.letGo()
				r := g.hangUp()
				g.wantReads(0, "E FATAL 57P01 the server's", "EOF")
				wantEnd(t, r, watcher, UpstreamClosed, "the server's")
			})
			t.Run("the broker's is said", func(t *testing.T) {
				g, watcher := newStage(t, 2), &keeper{}
				at := newStop(t)
				g.cancel = func(context.Context) error { return nil } // of the statement that runs
				g.noticed = func(e Event) {
					if e.Kind == PartChanged {
						at.here()
					}
				}
				b := g.open(Config{Mode: mode, Observer: watcher, Detail: DetailStatements})
				g.ask(simpleRequest)
				if b == nil {
					b = <-g.dialled
				}
				b.hears(t, pgwire.MsgQuery, nil)
				b.waitWritten(t) // the client's half needs the lock that the reader stops with no more
				b.says(t, flow(pgwire.AppendParameterStatus(nil, "in_hot_standby", "on"), goodbye))
				<-at.came // the reader has not come to the FATAL
				var ending sync.WaitGroup
				ending.Go(func() { g.session.End(killed) })
				g.wantReads(pgwire.MsgErrorResponse, "E FATAL 57P01 the broker's")
				at.letGo()
				ending.Wait()
				r := g.hangUp()
				g.wantReads(0, "EOF")
				wantEnd(t, r, watcher, killed.Reason, "the broker's")
			})
		})
	}
}

func wantEnd(t *testing.T, r *Result, watcher *keeper, reason Reason, text string) {
	t.Helper()
	if r.Reason != reason || r.Tell == nil || r.Tell.Message != text {
		t.Errorf("ended by %s %v, want %s with %s", r.Reason, r.Tell, reason, text)
	}
	if watcher.last.Message != text {
		t.Errorf("the statement is told as %+v, want one with %s", watcher.last, text)
	}
}

// W67: a FATAL of which a part has been forwarded is the last word, too; behind any other message the broker's is.
func TestW67OneLastWordBehindAPart(t *testing.T) {
	row := message('D', "\x00\x01\x00\x00\x00\x010")
	for _, tt := range []struct {
		name  string
		part  []byte
		fatal *pgwire.Error
		want  []byte
	}{
		{"FATAL", goodbye, parseError(goodbye[headerSize:]), goodbye},
		{"row", row, nil, flow(row, goodbye)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := &fakepg.Script{}
			w := &writer{conn: client}
			w.forward([][]byte{tt.part[:7]}, len(tt.part)-7, tt.fatal, nil)
			if w.finish(goodbye) {
				t.Fatal("the last words are said within a message")
			}
			w.forward([][]byte{tt.part[7:], row}, 0, tt.fatal, nil)
			if !w.done() || w.ending() != tt.fatal || !bytes.Equal(client.Heard, tt.want) {
				t.Errorf("done %v, the server's word %v, the client reads %q; want %q", w.done(), w.ending(), client.Heard, tt.want)
			}
		})
	}
}
