package relay

// maxHeldCursors is how many cursors of a connection are known by name; with more, only CLOSE ALL
// says that none is left. Programs that read in portions have one or two at a time.
const maxHeldCursors = 16

// heldCursors are the cursors WITH HOLD that a client has declared on a connection and not closed, for
// all that is known: one whose DECLARE has failed, or was rolled back, stays until CLOSE ALL. The zero
// value holds none. Called with the server's mu.
type heldCursors struct {
	names  []heldCursor
	others bool // some whose names are not known
}

type heldCursor struct {
	name  string
	order uint64 // of its last DECLARE
}

// declared notes a DECLARE that is about to be sent; name is "" when it is not known.
func (h *heldCursors) declared(name string, order uint64) {
	for i := range h.names {
		if h.names[i].name == name {
			h.names[i].order = order
			return
		}
	}
	if name == "" || len(h.names) == maxHeldCursors {
		h.others = true
		return
	}
	h.names = append(h.names, heldCursor{name, order})
}

// closed notes a CLOSE that has succeeded, and says whether no cursor is left then. One that was
// declared again behind it stays.
func (h *heldCursors) closed(name string, order uint64) bool {
	for i := range h.names {
		if h.names[i].name == name && h.names[i].order < order {
			h.names = append(h.names[:i], h.names[i+1:]...)
			break
		}
	}
	return len(h.names) == 0 && !h.others
}
