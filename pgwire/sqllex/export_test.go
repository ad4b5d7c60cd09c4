package sqllex

// Ambiguous reports whether the text read so far has two readings.
func (l *Lexer) Ambiguous() bool { return l.ambiguous }

// Dismissed says whether Classify answers for a text without reading its tokens, and Tokens what they say.
func Dismissed(sql string) bool { ok, _ := harmless(sql); return ok }

func Tokens(sql string) Effects { return classify(sql) }
