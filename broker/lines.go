package broker

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// maxLines is how many lines of one kind the log gets in a second: more than anybody reads, and a flood of
// refusals does not fill a disk with them. Metrics count all of them, and the audit records them.
const maxLines = 20

// lines bounds what the log gets of lines that others can cause in any number. The zero value is ready;
// safe for concurrent use.
type lines struct {
	mu     sync.Mutex
	second int64          // Unix
	counts map[kindOf]int // of that second
}

// kindOf is a line's message and, where there is one, its reason: a closed set.
type kindOf struct{ message, reason string }

// may says whether one more line of a kind is written.
func (l *lines) may(kind kindOf, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.second, l.counts = now.Unix(), make(map[kindOf]int)
	}
	l.counts[kind]++
	return l.counts[kind] <= maxLines
}

// over takes what was held back of a second that is over, in order.
func (l *lines) over(now time.Time) (held []heldLines) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Unix() <= l.second {
		return nil
	}
	for kind, n := range l.counts {
		if n > maxLines {
			held = append(held, heldLines{kind, n - maxLines})
		}
	}
	l.second, l.counts = now.Unix(), nil
	slices.SortFunc(held, func(a, b heldLines) int {
		return cmp.Or(cmp.Compare(a.message, b.message), cmp.Compare(a.reason, b.reason))
	})
	return held
}

// heldLines is how many lines of a kind were not written.
type heldLines struct {
	kindOf
	n int
}

// logs says whether the log gets one more line of a kind.
func (s *Server) logs(message, reason string) bool {
	return s.lines.may(kindOf{message, reason}, time.Now())
}

// tellHeld logs how much was held back of the second that is over.
func (s *Server) tellHeld(now time.Time) {
	for _, h := range s.lines.over(now) {
		s.log.Warn("log lines held back", zap.String("of", h.message), zap.String("reason", h.reason), zap.Int("lines", h.n))
	}
}
