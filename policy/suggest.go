package policy

import "fmt"

// Suggest is ` Did you mean "x"?` for the known name that got is a slip of the pen for, or "" when none is near:
// two slips, fewer in a short name.
func Suggest(got string, known []string) string {
	best, most := "", min(2, (len(got)-2)/2)
	for _, k := range known {
		if d := distance(got, k); d <= most && (best == "" || d < most) {
			best, most = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" Did you mean %q?", best)
}

// distance is how many letters to add, drop or change, or neighbours to exchange (optimal string alignment).
func distance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			change := row[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
