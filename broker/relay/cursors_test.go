package relay

import (
	"fmt"
	"testing"
)

// W52: the pin of cursors WITH HOLD ends when the last of them is closed, and not before.
func TestW52HeldCursors(t *testing.T) {
	type step struct {
		close bool
		name  string
		order uint64
		last  bool
	}
	declare := func(name string, order uint64) step { return step{name: name, order: order} }
	closing := func(name string, order uint64, last bool) step { return step{true, name, order, last} }
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"one", []step{declare("a", 1), closing("a", 2, true)}},
		{"two", []step{declare("a", 1), declare("b", 2), closing("a", 3, false), closing("b", 4, true)}},
		{"said twice, as Bind and Execute do", []step{declare("a", 1), declare("a", 2), closing("a", 3, true)}},
		{"another's", []step{declare("a", 1), closing("b", 2, false)}},
		{"declared again before the answer came", []step{declare("a", 1), declare("a", 3), closing("a", 2, false), closing("a", 4, true)}},
		{"one of unknown name", []step{declare("", 1), declare("a", 2), closing("a", 3, false)}},
		{"by no name", []step{declare("", 1), closing("", 2, false)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var held heldCursors
			for i, s := range tt.steps {
				if !s.close {
					held.declared(s.name, s.order)
				} else if got := held.closed(s.name, s.order); got != s.last {
					t.Errorf("step %d: close %q says %v for none left, want %v", i, s.name, got, s.last)
				}
			}
		})
	}
	var many heldCursors
	for i := range maxHeldCursors + 1 {
		many.declared(fmt.Sprint("c", i), 1)
	}
	for i := range maxHeldCursors + 1 {
		if many.closed(fmt.Sprint("c", i), 2) {
			t.Errorf("after c%d none is left, of more than can be counted", i)
		}
	}
}
