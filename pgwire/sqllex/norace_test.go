//go:build !race

package sqllex_test

// raceEnabled is false in the pass that checks allocations.
const raceEnabled = false
