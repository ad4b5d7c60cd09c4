package admin

// Setting is one line of SHOW CONFIG.
type Setting struct {
	Key, Value, Default string
	Changeable          bool // a reload takes it
}
