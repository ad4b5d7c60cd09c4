package main

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// textWidth is how many columns of a terminal a text takes that printable has made.
func textWidth(s string) (columns int) {
	for _, r := range s {
		columns += runeWidth(r)
	}
	return columns
}

// runeWidth is 0 for what is set on the character before it, 2 for East Asian wide characters and most pictures
// (Unicode Standard Annex #11), and else 1.
func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// fitText is as much of a text as fits into these columns.
func fitText(s string, columns int) string {
	for i, r := range s {
		if columns -= runeWidth(r); columns < 0 {
			return s[:i]
		}
	}
	return s
}

// cutText is fitText with a last character that says that there was more.
func cutText(s string, columns int) string {
	if textWidth(s) <= columns {
		return s
	}
	return fitText(s, columns-1) + "…"
}

// padText fills a text up with spaces.
func padText(s string, columns int) string {
	return s + strings.Repeat(" ", max(columns-textWidth(s), 0))
}
