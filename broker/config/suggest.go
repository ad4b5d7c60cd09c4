package config

import "fmt"

// didYouMean is a sentence that proposes the nearest of known, or "" when none is near: two edits at
// most, and fewer for a short word.
func didYouMean(got string, known []string) string {
	best, distance := "", min(2, (len(got)-1)/3)
	for _, k := range known {
		if n := editDistance(got, k); n <= distance && (best == "" || n < distance) {
			best, distance = k, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" Did you mean %q?", best)
}

// editDistance is Levenshtein's, in bytes, one row at a time.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
