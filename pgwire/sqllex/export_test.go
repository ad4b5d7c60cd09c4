package sqllex

// Ambiguous reports whether the text read so far has two readings.
func (l *Lexer) Ambiguous() bool { return l.ambiguous }
