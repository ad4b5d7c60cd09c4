//go:build !race

package downstream_test

// raceEnabled is false in the pass that checks allocations.
const raceEnabled = false
