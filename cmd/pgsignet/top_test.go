package main

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
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
		frame, err := v.frame(look, "", 80, 0)
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

// However small the terminal and whatever clients call themselves, a frame fits: no line is wider, none scrolls away,
// columns stay in line, and nothing in it steers the terminal.
func TestTopFits(t *testing.T) {
	look := &topLook{at: time.Now(), table: &consoleTable{Columns: []string{"id", "app", "addr"}, Numeric: []bool{true, false, false}}}
	names := []string{"日本語アプリ", "e\u0301e\u0301\u0301clair", "\x1b[31mred\x1b]0;t\x07", "tab\tnew\nline", "\u202eevil", "👩\u200d👩 fam", "\u009b2J", strings.Repeat("x", 63)}
	for i, name := range names {
		look.table.Rows = append(look.table.Rows, []consoleValue{{Text: strconv.Itoa(i)}, {Text: name}, {Text: "END"}})
	}
	for _, width := range []int{1, 2, 7, 20, 40, 80, 200} {
		for _, height := range []int{1, 2, 3, 4, 9, 11, 12, 50} {
			var v topView
			frame, err := v.frame(look, "", width, height)
			if err != nil {
				t.Fatal(err)
			}
			screen, _ := strings.CutPrefix(string(onScreen(frame, height)), "\x1b[H")
			lines := strings.Split(screen, "\r\n")
			if len(lines) > height {
				t.Errorf("%d lines on %d", len(lines), height)
			}
			ends := make(map[int]bool) // the columns in which the last cell of the rows begins
			for i, line := range lines {
				line = strings.TrimPrefix(strings.TrimPrefix(line, "\x1b[K"), "\x1b[J")
				if strings.ContainsFunc(line, unicode.IsControl) || textWidth(line) > width {
					t.Errorf("%d columns: line %d is %d wide: %q", width, i, textWidth(line), line)
				}
				if before, _, found := strings.Cut(line, "END"); found {
					ends[textWidth(before)] = true
				}
			}
			if wide := width >= 80 && height > 3; len(ends) > 1 || wide != (len(ends) == 1) {
				t.Errorf("%d×%d: the last cells begin in columns %v", width, height, ends)
			}
		}
	}
}

// What a terminal shows of a character, not how many bytes or characters it is.
func TestTextWidth(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "Müller": 6, "Mu\u0308ller": 6, "日本": 4, "ｱ": 1, "Ａ": 2, "한국": 4, "👩": 2, "✈\ufe0f": 1, "עברית": 5} {
		if got := textWidth(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
	for _, tt := range []struct {
		text    string
		columns int
		want    string
	}{{"日本語", 6, "日本語"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"}, {"日本語", 1, "…"}, {"e\u0301e\u0301e\u0301", 2, "e\u0301…"}, {"abc", 3, "abc"}} {
		if got := cutText(tt.text, tt.columns); got != tt.want {
			t.Errorf("%q cut to %d columns is %q, want %q", tt.text, tt.columns, got, tt.want)
		}
	}
}
