package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mode is the pool's, by the configuration.
func (b *Broker) mode() string {
	text, _ := os.ReadFile(filepath.Join(b.Dir, "pgsignet.hcl"))
	if strings.Contains(string(text), `mode = "transaction"`) {
		return "transaction"
	}
	return "session"
}

// recorded is what the record says of the clients.
type recorded struct {
	codes map[string][]string // by the mark of a unit, the SQLSTATEs of its records
	lines map[string][]any    // the same records, as they are
	ends  map[string]string   // SQLSTATE at the end of a session, by its application_name
	how   map[string]any      // the same, with all that the record says of it
	open  int                 // sessions that have not ended
	lost  bool                // lines are missing
}

// readRecord reads the record as far as it goes.
func (d *disturbance) readRecord() *recorded {
	rec := &recorded{codes: map[string][]string{}, lines: map[string][]any{}, ends: map[string]string{}, how: map[string]any{}}
	apps, marks := make(map[string]string), make(map[string][]string) // marks by session and number of a statement
	for _, r := range d.broker.readRecords("") {
		sid, _ := r["sid"].(string)
		rec.lost = rec.lost || r["lost"] != nil
		switch r["event"] {
		case "session.open":
			if app, _ := r["client"].(map[string]any)["app"].(string); strings.HasPrefix(app, "d") {
				apps[sid] = app
				rec.open++
			}
		case "session.close":
			if app := apps[sid]; app != "" {
				rec.open--
				rec.ends[app], _ = r["end"].(map[string]any)["sqlstate"].(string)
				rec.how[app] = r
			}
		case "statement":
			stmt := r["stmt"].(map[string]any)
			key := fmt.Sprint(sid, " ", stmt["id"])
			if stmt["phase"] != "end" {
				list := foreignMark.FindAllString(fmt.Sprint(stmt["text"], stmt["params"]), -1)
				slices.Sort(list)
				marks[key] = slices.Compact(list)
			}
			if stmt["phase"] == "start" || stmt["sqlstate"] == nil { // without one it was passed over, and is recorded again when it is sent
				continue
			}
			for _, mark := range marks[key] {
				rec.codes[mark] = append(rec.codes[mark], fmt.Sprint(stmt["sqlstate"]))
				rec.lines[mark] = append(rec.lines[mark], r)
			}
		}
	}
	return rec
}

// compareRecord compares what the clients were told with the record.
func (d *disturbance) compareRecord() {
	Poll(d.t, "the sessions' ends in the record", func() bool { return d.readRecord().open == 0 })
	d.broker.verify(d.t)
	rec := d.readRecord()
	if rec.lost {
		d.t.Log("the record has lost lines: it is not compared")
		return
	}
	for _, c := range d.clients {
		for _, o := range c.answers {
			switch got := rec.codes[o.mark]; {
			case len(got) > 1:
				d.report("%s is recorded %d times: %v", o.mark, len(got), rec.lines[o.mark])
			case (o.text || o.code == "00000") && (len(got) != 1 || got[0] != o.code):
				d.report("%s was answered with %s and recorded with %v", o.mark, o.code, rec.lines[o.mark])
			}
		}
		for app, code := range c.ends {
			if code == "" {
				d.t.Logf("session %s ended without a word; recorded as %v", app, rec.how[app])
			}
			if code != "" && rec.ends[app] != code { // without a word: there was no place for it
				d.report("session %s read %q at its end; recorded %q", app, code, rec.ends[app])
			}
		}
	}
}
