package relay

import (
	"errors"
	"strings"
	"testing"
)

// play runs a trace through a ledger. Words are messages: a client's as >T, a server's as <T, with
// ReadyForQuery as <ZI; >Ds and >Dp describe a statement or a portal.
func play(l *ledger, trace string) error {
	if l.tx == 0 {
		l.tx = 'I'
	}
	for _, word := range strings.Fields(trace) {
		typ := word[1]
		if word[0] == '>' {
			sub := byte('P')
			if word == ">Ds" {
				sub = 'S'
			}
			l.sent(typ, sub, fromClient, nil)
			continue
		}
		var status byte
		if typ == 'Z' {
			status = word[2]
		}
		if _, _, err := l.received(typ, status); err != nil {
			return err
		}
	}
	return nil
}

// The traces of the wire rules' section 2, as PostgreSQL 15 plays them.
func TestLedgerFollowsPostgreSQL(t *testing.T) {
	for _, tt := range []struct {
		name, trace string
		clean       bool
		tx          byte
	}{
		{"W27 many results, one Z", ">Q <T <D <C <I <C <ZI", true, 'I'},
		{"W19 a skipped Query owes no Z", ">P >B >E >Q >S <1 <E <ZI", true, 'I'},
		{"W21 Query inside a batch", ">P >B >E >Q >S <1 <2 <D <C <T <D <C <ZI <ZI", true, 'I'},
		{"W24 unknown statement in mid-batch", ">P >B >E >B >S <1 <2 <C <E <ZI", true, 'I'},
		{"W20 error at the implicit commit", ">P >B >E >S >Q <1 <2 <C <E <ZI <T <D <C <ZI", true, 'I'},
		{"W26 portal suspended, then gone", ">P >B >E >S >E >S <1 <2 <D <s <ZI <E <ZI", true, 'I'},
		{"W22 error before Sync was sent", ">P <E", false, 'I'},
		{"W22 then the Sync", ">P <E >B >E >S <ZI", true, 'I'},
		{"W25 Flush leaves the batch open", ">P >H <1", false, 'I'},
		{"W28 function call", ">F <V <ZI", true, 'I'},
		{"W28 function call that fails", ">F <E <ZI", true, 'I'},
		{"W28 function call in a batch ends it", ">P >F <1 <V <ZI", true, 'I'},
		{"a failed Query", ">Q <E <ZE", false, 'E'},
		{"open transaction", ">Q <C <ZT", false, 'T'},
		{"describe statement", ">P >Ds >S <1 <t <T <ZI", true, 'I'},
		{"describe portal without rows", ">P >B >Dp >E >S <1 <2 <n <C <ZI", true, 'I'},
		{"W57 COPY eats the Sync sent with Execute", ">P >B >E >S <1 <2 <G >d >c >S <C <ZI", true, 'I'},
		{"W57 the Sync that COPY eats does not end the batch", ">P >B >E >S <1 <2 <G >d >c <C", false, 'I'},
		{"W57 nor one inside CopyIn", ">P >B >E <1 <2 <G >d >S >c <C", false, 'I'},
		{"W59 data before G", ">P >B >E >S >d >c >S <1 <2 <G <C <ZI", true, 'I'},
		{"W57 Sync inside CopyIn", ">Q <G >d >S >S >d >c <C <ZI", true, 'I'},
		{"W59 two COPYs sent ahead", ">Q >P >B >E >d >c >S >Q >d >c >S <C <ZI <1 <2 <G <C <ZI <G <C <ZI <ZI", true, 'I'},
		{"COPY out", ">Q <H <d <d <c <C <ZI", true, 'I'},
		{"simple COPY fails", ">Q <G >d <E <ZI >c", true, 'I'},
		{"W63 CopyBoth", ">Q <W <d >d >c <c <C <C <ZI", true, 'I'},
		{"skip ends at Sync, not at Query", ">P >S >P >Q >S <E <ZI <E <ZI", true, 'I'},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l ledger
			if err := play(&l, tt.trace); err != nil {
				t.Fatalf("%s: %v", tt.trace, err)
			}
			if l.clean() != tt.clean || l.tx != tt.tx {
				t.Errorf("%s: clean %v, tx %c; want %v, %c", tt.trace, l.clean(), l.tx, tt.clean, tt.tx)
			}
		})
	}
}

func TestLedgerRefusesWhatWasNotAskedFor(t *testing.T) {
	for _, trace := range []string{
		"<ZI", "<1", "<C", ">Q <1", ">S <C", ">P >S <ZI", ">P <2", ">B <1", ">Q <C <ZI <ZI", ">E <V", ">Q <Zx", ">Q <?",
	} {
		t.Run(trace, func(t *testing.T) {
			var l ledger
			if err := play(&l, trace); !errors.Is(err, errUnexpected) {
				t.Errorf("%s: got %v, want %v", trace, err, errUnexpected)
			}
		})
	}
}

// W57: after an aborted COPY nobody knows whether the Sync was eaten; the next reply tells.
func TestW57AnAbortedCopyKeepsStep(t *testing.T) {
	const copying = ">P >B >E >S <1 <2 <G >d "
	for _, tt := range []struct {
		name, trace string
		clean       bool
	}{
		{"in doubt", copying + "<E", false},
		{"eaten, then the client's Sync, fenced", copying + "<E >c >S >fence <ZI <3 <ZI", true},
		{"not eaten: all have come", copying + "<E <ZI", true},
		{"not eaten, late Sync", copying + "<E <ZI >c >S <ZI", true},
		{"not eaten, Sync before it was known", copying + "<E >c >S >fence <ZI <ZI <3 <ZI", true},
		{"pipelined, eaten", ">P >B >E >S >d >f >S >Q >P >S <1 <2 <G <E <ZI <C <ZI <1 <ZI", true},
		{"pipelined, not eaten, no Sync behind", ">Q >d >S >S >f >P <G <E <ZI <ZI <ZI <1", false},
		{"a Sync before the failed Query's answer", ">Q <G >S >f <E >S >fence <ZI <ZI <3 <ZI", true},
		{"W20 the Sync behind it fails", ">P >B >E >S <1 <2 <G >S >f <E >c >S >fence <ZI <E <ZI <3 <ZI", true},
		{"pipelined, not eaten", ">P >B >E >S >d >f >S >Q >P >S <1 <2 <G <E <ZI <ZI <C <ZI <1 <ZI", true},
		{"pipelined, the next fails", ">P >B >E >S >d >f >S >P >S <1 <2 <G <E <ZI <E <ZI", true},
		{"pipelined, nothing behind", ">P >B >E >S >d >f >S <1 <2 <G <E <ZI", false},
		{"pipelined, fenced, eaten", ">P >B >E >S >d >f >S >fence <1 <2 <G <E <ZI <3 <ZI", true},
		{"pipelined, fenced, not eaten", ">P >B >E >S >d >f >S >fence <1 <2 <G <E <ZI <ZI <3 <ZI", true},
		{"pipelined, fenced, succeeds", ">P >B >E >S >d >c >S >fence <1 <2 <G <C <ZI <3 <ZI", true},
		{"of a Query, Sync eaten", ">Q <G >S >d >f >S >Q <E <ZI <ZI <C <ZI", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l ledger
			before, after, fenced := strings.Cut(tt.trace, ">fence")
			err := play(&l, before)
			if fenced && err == nil {
				if !l.needsFence() {
					t.Error("nothing asks for the fence")
				}
				l.raiseFence()
				err = play(&l, after)
			}
			if err != nil || l.clean() != tt.clean {
				t.Errorf("%s: %v, clean %v, want %v", tt.trace, err, l.clean(), tt.clean)
			}
		})
	}
}
