package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// However many statements a text has, its record says whether a part of them was committed: by a COMMIT far
// behind, by a ROLLBACK of its own, or by none.
func TestRecordOfALongTextSaysWhatStayed(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	b := w.Start(t, Options{Rules: people})
	c := b.login(t, w.Client("app"), "app")
	many := strings.Repeat("select 1;", 5000)
	for _, sql := range []string{
		many + "commit;" + many + "select 1/0",
		many + "select 1/0",
		"begin;" + many + "rollback",
		"begin; select 1; rollback",
		"prepare a as select 1; deallocate a; select 1",
	} {
		c.Send(Query(sql))
		c.ReadUntil('Z')
	}
	for i, want := range []struct {
		tags, ntags string
		mayUndo     any
	}{
		{"[" + strings.Repeat("SELECT 1 ", 20) + "COMMIT]", "10001", nil},
		{"[" + strings.Repeat("SELECT 1 ", 19) + "SELECT 1]", "5000", nil},
		{"[BEGIN " + strings.Repeat("SELECT 1 ", 19) + "ROLLBACK]", "5002", 3.0},
		{"[BEGIN SELECT 1 ROLLBACK]", "<nil>", 4.0},
		{"[PREPARE DEALLOCATE SELECT 1]", "<nil>", nil},
	} {
		stmt := b.Records("statement", 5)[i]["stmt"].(map[string]any)
		if got := fmt.Sprint(stmt["tags"]); got != want.tags || fmt.Sprint(stmt["ntags"]) != want.ntags || stmt["may_undo"] != want.mayUndo {
			t.Errorf("text %d: tags %s of %v, may_undo %v; want %s of %s, %v", i, got, stmt["ntags"], stmt["may_undo"], want.tags, want.ntags, want.mayUndo)
		}
	}
}
