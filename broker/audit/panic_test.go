package audit

import (
	"strings"
	"testing"
)

// TestPanicOverAStatementCostsItsText: the writer is one goroutine for everybody.
func TestPanicOverAStatementCostsItsText(t *testing.T) {
	w := &writer{enc: encoder{node: "n", limits: newLimits(defaultText), privacy: privacy{redact: []pattern{{}}}}}
	got := string(w.body(&Record{Event: Statement, SID: "s", Stmt: &Stmt{ID: 7, Text: "SELECT s3cret", Message: "s3cret"}}))
	if !strings.Contains(got, `"sid":"s"`) || strings.Contains(got, "s3cret") {
		t.Errorf("recorded as %s", got)
	}
}
