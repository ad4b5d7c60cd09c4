package policy

// CompileUnchecked compiles rules that Check finds fault with.
func CompileUnchecked(c Config) *Policy {
	p, _ := compile(c)
	return p
}
