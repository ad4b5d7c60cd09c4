package hclfile

import (
	"fmt"
	"regexp"
	"testing"
)

// TestRegexCacheIsBounded: patterns made of what clients say do not fill the memory.
func TestRegexCacheIsBounded(t *testing.T) {
	c := &regexCache{byID: map[string]*regexp.Regexp{}}
	for i := range 3 * maxCached {
		if _, err := c.compile(fmt.Sprintf("a%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.byID); n != maxCached {
		t.Errorf("%d expressions are kept, want %d", n, maxCached)
	}
}
