package docs

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/e2e"
)

// changing are the parts of the demo's output that differ from run to run: times, ports, hashes, ids.
var changing = regexp.MustCompile(`\d\d:\d\d:\d\d|port \d+|\b[0-9a-f]{12}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// The README shows what the demo prints.
func TestREADMEShowsTheDemo(t *testing.T) {
	out, err := exec.Command(e2e.Shared(t).Binary(), "demo").CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	printed := changing.ReplaceAllString(string(out), "_")
	for _, line := range linesOf(block(t, "README.md", "text", "demo")) {
		if !strings.Contains(printed, changing.ReplaceAllString(line, "_")+"\n") {
			t.Errorf("the demo does not print %q", line)
		}
	}
}
