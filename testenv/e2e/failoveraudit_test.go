package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// ledgerLine is a writer's statement in a server's log: process, writer, number.
var ledgerLine = regexp.MustCompile(`\[(\d+)\] [^\n]*LOG:  execute [^:\n]*: INSERT INTO ledger \(writer, n\) VALUES \(\$1, \$2\)\n` +
	`[^\n]*DETAIL:  [Pp]arameters: \$1 = '(\d+)', \$2 = '(\d+)'`)

// recordOf is what the record has of one statement.
type recordOf struct {
	starts, ends int
	pid          string // of the server's process
	state        string
}

// recordAgrees holds the record, which is strict, against what both servers logged of the writers' statements: what
// ran is there, once, with its server process, also where it was sent to another connection than the one that it
// waited for; what succeeded was logged; and none of the broker's own statements looks like a client's.
func (p *pair) recordAgrees(t *testing.T, b *Broker) {
	t.Helper()
	ran := make(map[string][]string) // server processes, by statement
	for _, server := range []*documented{p.primary, p.standby} {
		log, err := server.LogFrom(0)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range ledgerLine.FindAllStringSubmatch(log, -1) {
			key := m[2] + "/" + m[3]
			ran[key] = append(ran[key], m[1])
		}
	}
	recorded := b.toldOfWriters(t)
	for key, pids := range ran {
		if r := recorded[key]; len(pids) != 1 || r == nil || r.pid != pids[0] {
			t.Errorf("write %s ran in the server processes %v, and the record has %+v", key, pids, r)
		}
	}
	for key, r := range recorded {
		if r.starts != 1 || r.ends != 1 {
			t.Errorf("write %s has %d starts and %d ends", key, r.starts, r.ends)
		}
		if r.state == "00000" && ran[key] == nil {
			t.Errorf("write %s succeeded by the record, and no server logged it", key)
		}
	}
	if len(ran) < 200 {
		t.Errorf("%d writes were compared, want more than 200", len(ran))
	}
	t.Logf("%d writes were compared, %d more were recorded and did not reach a server", len(ran), len(recorded)-len(ran))
}

// toldOfWriters is what the record has of their writes, once every session is closed.
func (b *Broker) toldOfWriters(t *testing.T) map[string]*recordOf {
	t.Helper()
	b.Records("session.close", len(b.Records("session.open", 1)))
	all := make(map[string]*recordOf)
	keys := make(map[string]string) // of started statements, by session and id
	for _, r := range b.Records("statement", 1) {
		s := r["stmt"].(map[string]any)
		id := fmt.Sprint(r["sid"], s["id"])
		if s["phase"] == "start" {
			text, _ := s["text"].(string)
			switch params, _ := s["params"].([]any); {
			case text == ledgerInsert && len(params) == 2:
				keys[id] = fmt.Sprintf("%v/%v", params...)
			case text != ledgerSet && !strings.HasPrefix(text, "insert into ledger"):
				t.Errorf("no client has said %q", text)
			}
		}
		key, ok := keys[id]
		if !ok {
			continue
		}
		if all[key] == nil {
			all[key] = &recordOf{}
		}
		switch e := all[key]; s["phase"] {
		case "start":
			e.starts++
		case "end":
			e.ends++
			e.state, _ = s["sqlstate"].(string)
			if up, ok := r["upstream"].(map[string]any); ok {
				e.pid = fmt.Sprint(up["pid"])
			}
		}
	}
	return all
}
