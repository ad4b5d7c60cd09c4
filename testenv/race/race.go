// Package race tells the two passes of `make test` apart: the one with the race detector, for
// behaviour, and the one without, for figures and for the full number of random cases.
//
// It runs nothing and asserts nothing.
package race

// Share is how many of n random cases a test runs in this pass: all without the race detector, a
// tenth with it, which finds races in the first few and makes each ten times as slow.
func Share(n int) int {
	if Enabled {
		return max(1, n/10)
	}
	return n
}
