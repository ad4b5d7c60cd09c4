package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Keys choose what is shown and in which order: text from its beginning, numbers from the largest.
func TestTopKeys(t *testing.T) {
	look := &topLook{at: time.Now(), table: &consoleTable{Columns: []string{"name", "count"}, Numeric: []bool{false, true}}}
	for _, row := range [][]string{{"bob", "9"}, {"Müller", "20"}, {"alice", "100"}} {
		look.table.Rows = append(look.table.Rows, []consoleValue{{Text: row[0]}, {Text: row[1]}})
	}
	for _, tt := range []struct{ keys, want string }{
		{"", "Müller alice bob"},
		{"r", "bob alice Müller"},
		{"s", "alice Müller bob"},
		{"sr", "bob Müller alice"},
		{"ss", "Müller alice bob"},
		{"/l\r", "Müller alice"},
		{"/lx\x7f\r", "Müller alice"},
		{"/Mü\r", "Müller"},
		{"/aü\x7fl\rr", "alice"},
		{"/9\r/\rs", "alice Müller bob"},
		{"sppr", "bob alice Müller"},
	} {
		var v topView
		for _, k := range []byte(tt.keys) {
			if v.key(k) {
				t.Fatalf("%q ends it", tt.keys)
			}
		}
		frame, err := v.frame(look, 80, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := slices.DeleteFunc(strings.Fields(string(frame)), func(word string) bool {
			return !slices.Contains([]string{"alice", "bob", "Müller"}, word)
		})
		if strings.Join(got, " ") != tt.want {
			t.Errorf("keys %q show %q, want %q\n%s", tt.keys, got, tt.want, frame)
		}
	}
	for _, k := range []byte{'q', 3} {
		if v := (topView{}); !v.key(k) {
			t.Errorf("key %d does not end it", k)
		}
	}
	if v := (topView{typing: true}); v.key('q') {
		t.Error("q in a filter ends it")
	}
}
