package sqllex

import "strings"

// SafeEncoding reports whether text in a client_encoding can be lexed as it is. In the encodings
// that PostgreSQL knows for clients only, the second byte of a character may look like a backslash
// or an operator; text in them that is not all ASCII must count as Opaque (W52).
func SafeEncoding(clientEncoding string) bool {
	if clientEncoding == "UTF8" {
		return true // as servers report it, nearly always
	}
	switch name := foldEncoding(clientEncoding); name {
	case "sjis", "mskanji", "shiftjis", "win932", "windows932", "shiftjis2004", "big5", "win950", "windows950",
		"gbk", "win936", "windows936", "uhc", "win949", "windows949", "gb18030", "johab":
		return false
	}
	return true
}

// foldEncoding is PostgreSQL's clean_encoding_name: letters and digits, in lower case.
func foldEncoding(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		}
		return -1
	}, name)
}

// ASCII reports whether text is all ASCII, which every encoding reads alike.
func ASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}
