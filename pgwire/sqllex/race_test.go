//go:build race

package sqllex_test

const raceEnabled = true
