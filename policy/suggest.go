package policy

import "fmt"

// suggest is ` Did you mean "x"?` for the known name nearest to got, or "" when none is near.
func suggest(got string, known []string) string {
	if name := Nearest(got, known); name != "" {
		return fmt.Sprintf(" Did you mean %q?", name)
	}
	return ""
}

// Nearest is the known name that got is a slip of the pen for, or "" when none is near.
func Nearest(got string, known []string) string {
	best, at := "", 3
	for _, k := range known {
		if d := distance(got, k); d < at && d < len(k) {
			best, at = k, d
		}
	}
	return best
}

// distance is Levenshtein's: how many letters to add, drop or change.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
