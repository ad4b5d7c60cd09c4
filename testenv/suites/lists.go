package suites

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// List is a reviewed list of tests that fail or are skipped, each with the reason why that is right:
//
//	failed temp-schema-cleanup  # libpq words the loss of a TLS connection differently
//
// A line that begins with "maybe" names what happens in some runs only.
type List map[string]string // "failed NAME" → reason

// ReadList reads a list; a file that does not exist is an empty one.
func ReadList(path string) (List, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	list := List{}
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		entry, reason, _ := strings.Cut(lines.Text(), "  # ")
		if entry = strings.TrimSpace(entry); entry != "" && !strings.HasPrefix(entry, "#") {
			list[entry] = strings.TrimSpace(reason)
		}
	}
	return list, nil
}

// List is what the result has to show for itself, without reasons.
func (r *Result) List() List {
	list := List{}
	for _, name := range r.Failed {
		list["failed "+name] = ""
	}
	for _, name := range r.Skipped {
		list["skipped "+name] = ""
	}
	return list
}

// Beside is what sets the run of got apart from the direct one: its own lines, and those that only the
// direct run has; not what the direct run's reviewed list says may happen in any run.
func (got List) Beside(direct, reviewed List) List {
	apart := List{}
	only := func(prefix string, these, those List) {
		for entry := range these {
			_, both := those[entry]
			_, sometimes := reviewed[maybe+entry]
			if !both && !sometimes {
				apart[prefix+entry] = ""
			}
		}
	}
	only("", got, direct)
	only("direct alone ", direct, got)
	return apart
}

// Drift says in which lines got differs from the reviewed list, in either direction, and which
// reviewed lines lack a reason. Sorted; nil when there is nothing to say.
func (want List) Drift(got List) []string {
	var drift []string
	for entry := range got {
		if !want.allows(entry) {
			drift = append(drift, "not in the list: "+entry)
		}
	}
	for entry, reason := range want {
		if _, found := got[entry]; !found && !strings.HasPrefix(entry, maybe) {
			drift = append(drift, "listed, but no longer so: "+entry)
		}
		if reason == "" {
			drift = append(drift, "listed without a reason: "+entry)
		}
	}
	slices.Sort(drift)
	return drift
}

// maybe begins a line for what does not happen in every run.
const maybe = "maybe "

func (want List) allows(entry string) bool {
	_, listed := want[entry]
	_, sometimes := want[maybe+entry]
	return listed || sometimes
}

// Update returns got with the reasons that want has for its lines, and what want says may happen.
func (want List) Update(got List) List {
	next := List{}
	for entry := range got {
		if _, sometimes := want[maybe+entry]; !sometimes {
			next[entry] = want[entry]
		}
	}
	for entry, reason := range want {
		if strings.HasPrefix(entry, maybe) {
			next[entry] = reason
		}
	}
	return next
}

// String is the list as its file holds it.
func (want List) String() string {
	entries := make([]string, 0, len(want))
	for entry := range want {
		entries = append(entries, entry)
	}
	slices.Sort(entries)
	var b strings.Builder
	for _, entry := range entries {
		fmt.Fprintf(&b, "%s  # %s\n", entry, want[entry])
	}
	return b.String()
}
