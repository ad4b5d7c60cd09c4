package suites

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Difference is a result file that two runs do not share byte for byte.
type Difference struct {
	Test string
	Diff string // unified, shortened
}

// CompareFiles compares the result files of two runs and returns how many there are, together with
// those that differ or exist in one of them only, sorted by name.
func CompareFiles(first, second string) (total int, differ []Difference, err error) {
	names, err := union(first, second)
	if err != nil {
		return 0, nil, err
	}
	for _, name := range names {
		a, errA := os.ReadFile(filepath.Join(first, name))
		b, errB := os.ReadFile(filepath.Join(second, name))
		if err := errors.Join(ignoreMissing(errA), ignoreMissing(errB)); err != nil {
			return 0, nil, err
		}
		if !sameResult(a, b) || errA != nil || errB != nil {
			differ = append(differ, Difference{Test: name, Diff: shorten(diff(filepath.Join(first, name), filepath.Join(second, name)))})
		}
	}
	return len(names), differ, nil
}

// sessionNotice is a NOTICE in the result of an isolation test, with the session that it came to.
var sessionNotice = regexp.MustCompile(`^(\w+): NOTICE:  `)

// sameResult says whether two results are the same but for when the notices of one session came among the lines of
// others: isolationtester learns over another connection that a session waits, which a notice on its way may not have
// overtaken.
func sameResult(first, second []byte) bool {
	if bytes.Equal(first, second) {
		return true
	}
	restA, noticesA := apart(first)
	restB, noticesB := apart(second)
	return slices.Equal(restA, restB) && maps.EqualFunc(noticesA, noticesB, slices.Equal)
}

// apart separates the notices, by session, from the other lines.
func apart(result []byte) (rest []string, notices map[string][]string) {
	notices = make(map[string][]string)
	for line := range strings.Lines(string(result)) {
		if m := sessionNotice.FindStringSubmatch(line); m != nil {
			notices[m[1]] = append(notices[m[1]], line)
		} else {
			rest = append(rest, line)
		}
	}
	return rest, notices
}

// sameFile is false when either cannot be read.
func sameFile(first, second string) bool {
	a, errA := os.ReadFile(first)
	b, errB := os.ReadFile(second)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

func union(dirs ...string) ([]string, error) {
	var names []string
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if entry.Type().IsRegular() {
				names = append(names, entry.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// diff is what diff(1) says; it ends with 1 when there is something to say.
func diff(first, second string) string {
	out, err := exec.Command("diff", "-u", "-N", first, second).CombinedOutput()
	if _, differs := errors.AsType[*exec.ExitError](err); err != nil && !differs {
		return err.Error() + "\n"
	}
	return string(out)
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func shorten(diff string) string {
	const most = 4 << 10
	if len(diff) <= most {
		return diff
	}
	return diff[:most] + "…\n"
}
