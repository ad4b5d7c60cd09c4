package golden

import (
	"fmt"
	"os"
	"strings"
)

// Section is Bytes for a part of a document that people write: the lines between
// `<!-- begin NAME -->` and `<!-- end NAME -->`. The rest of the file is left as it is.
func Section(t TB, path, name, got string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("golden section: %v", err)
	}
	whole, err := replaceSection(string(text), name, got)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	Bytes(t, path, []byte(whole))
}

// ReadSection returns that part of a document, false when it has none.
func ReadSection(text, name string) (string, bool) {
	begin, end := marks(name)
	_, rest, found := strings.Cut(text, begin)
	if !found {
		return "", false
	}
	content, _, found := strings.Cut(rest, end)
	return content, found
}

func marks(name string) (begin, end string) {
	return "<!-- begin " + name + " -->\n", "<!-- end " + name + " -->\n"
}

func replaceSection(text, name, content string) (string, error) {
	begin, end := marks(name)
	head, rest, found := strings.Cut(text, begin)
	if !found {
		return "", fmt.Errorf("no line %q", strings.TrimSpace(begin))
	}
	_, tail, found := strings.Cut(rest, end)
	if !found {
		return "", fmt.Errorf("no line %q", strings.TrimSpace(end))
	}
	return head + begin + content + end + tail, nil
}
