package suites

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/go-cmp/cmp"
)

// Difference is a result file that two runs do not share byte for byte.
type Difference struct {
	Test string
	Diff string // -first +second, shortened
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
		if !bytes.Equal(a, b) || errA != nil || errB != nil {
			differ = append(differ, Difference{Test: name, Diff: shorten(cmp.Diff(string(a), string(b)))})
		}
	}
	return len(names), differ, nil
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
