//go:build !race

package hclfile_test

import (
	"testing"
	"time"
)

// TestLoadFigure holds a file of 10 000 rules to ten times its 2 s.
func TestLoadFigure(t *testing.T) {
	src := manyMaps(10_000)
	start := time.Now()
	loadText(t, src)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("10 000 rules took %v, want at most 20s", took)
	}
}
