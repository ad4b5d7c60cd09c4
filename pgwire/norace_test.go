//go:build !race

package pgwire_test

// raceEnabled is false in the pass that checks allocations.
const raceEnabled = false
