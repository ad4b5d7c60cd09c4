package identity

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Quote shows a value to a person: in double quotes, with everything that is not printable ASCII as an
// escape, so that "аlice" with a Cyrillic а reads "\u0430lice". The result is one line of ASCII.
func Quote(value string) string { return strconv.QuoteToASCII(value) }

// Describe shows a value as Quote does, followed by the scripts of the letters that are not ASCII, which
// tells a homoglyph from a foreign name: `"\u0430lice" (U+0430 Cyrillic)`.
func Describe(value string) string {
	var notes []string
	seen := map[rune]bool{}
	for _, r := range value {
		if r < 0x80 || seen[r] {
			continue
		}
		seen[r] = true
		notes = append(notes, fmt.Sprintf("U+%04X %s", r, script(r)))
	}
	if notes == nil {
		return Quote(value)
	}
	return Quote(value) + " (" + strings.Join(notes, ", ") + ")"
}

func script(r rune) string {
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return name
		}
	}
	return "unassigned"
}
