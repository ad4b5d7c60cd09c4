package e2e

import (
	"strings"
	"testing"
)

// cutNames are two names that are one to PostgreSQL, which keeps the first 63 bytes of a name.
var cutNames = [2]string{strings.Repeat("n", 63) + "x", strings.Repeat("n", 63) + "y"}

// PostgreSQL takes two long names that begin alike for one. What runs by the one is recorded as what was given
// to the other, and what it leaves on the server connection is seen by the pool.
func TestLongNamesMeanWhatTheServerTakesThemFor(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	x, y := cutNames[0], cutNames[1]
	for _, mode := range []string{"session", "transaction"} {
		for _, delivery := range []string{"best_effort", "strict"} {
			t.Run(mode+"/"+delivery, func(t *testing.T) {
				b := w.Start(t, Options{Rules: people, Pool: `mode = "` + mode + `"` + "\nsize = 1", Audit: `delivery = "` + delivery + `"`})
				c := b.login(t, w.Client("app"), "app")
				for i, send := range [][]byte{
					sequence(parseMsg(x, "select 'innocent'"), syncMsg()),
					sequence(Msg('C', "S"+y+"\x00"), parseMsg(y, "select 'ran 1'"), bindMsg("", x), executeMsg(""), syncMsg()),
					sequence(parseMsg("", "select 'innocent'"), bindMsg(x, ""), Msg('C', "P"+y+"\x00"), parseMsg("", "select 'ran 2'"), bindMsg(y, ""), executeMsg(x), syncMsg()),
					sequence(parseMsg("", "set work_mem = '77MB'"), bindMsg(x, ""), executeMsg(y), syncMsg()),
				} {
					c.Send(send)
					answer := c.ReadUntil('Z')
					if strings.Contains(Types(answer), "E") {
						t.Fatalf("step %d: %v", i, answer)
					}
					for _, m := range answer {
						if m.Type == 'D' && strings.Contains(string(m.Body), "innocent") {
							t.Fatalf("step %d: another statement ran than PostgreSQL would run", i)
						}
					}
				}
				c.Close()
				b.Records("session.close", 1)
				said := strings.Join(b.statements(3), "\n")
				for _, ran := range []string{"execute select 'ran 1' 00000", "execute select 'ran 2' 00000", "execute set work_mem"} {
					if !strings.Contains(said, ran) {
						t.Errorf("no record of %q:\n%s", ran, said)
					}
				}
				if strings.Contains(said, "execute select 'innocent'") {
					t.Errorf("recorded as run, and it was not:\n%s", said)
				}
				c = b.login(t, w.Client("app"), "app")
				c.Send(Query("show work_mem"))
				if got := string(c.ReadUntil('Z')[1].Body); strings.Contains(got, "77MB") {
					t.Errorf("the next session has the setting: %q", got)
				}
			})
		}
	}
}
