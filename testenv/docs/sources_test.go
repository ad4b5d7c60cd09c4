package docs

import "testing"

// literals is every string literal of the program.
func literals(t *testing.T) []string {
	t.Helper()
	files, err := Sources()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range files {
		all = append(all, Literals(f)...)
	}
	return all
}
