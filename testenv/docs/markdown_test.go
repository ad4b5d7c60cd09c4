package docs

import (
	"os"
	"reflect"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/e2e"
)

func TestMain(m *testing.M) { os.Exit(e2e.Main(m)) }

func TestParse(t *testing.T) {
	d := Parse("a.md", "# One, `two` & three\n[x](b.md#y) `pgsignet check` `[no](link)`\n"+
		"```hcl a.hcl 16\nlistener {}\n```\n| h | `a\\|b` |\n| --- | --- |\n| 1 | 2 |\n\n| other |\n```\nplain\n```\n")
	want := &Document{
		Path: "a.md",
		Blocks: []Block{
			{Doc: "a.md", Line: 3, Lang: "hcl", Args: []string{"a.hcl", "16"}, Text: "listener {}\n"},
			{Doc: "a.md", Line: 11, Text: "plain\n"},
		},
		Code:    []Text{{1, "two"}, {2, "pgsignet check"}, {2, "[no](link)"}, {6, `a\|b`}},
		Links:   []Text{{2, "b.md#y"}},
		Anchors: map[string]bool{"one-two--three": true},
		Rows: []Row{
			{6, "h", []string{"h", "`a|b`"}}, {7, "h", []string{"---", "---"}}, {8, "h", []string{"1", "2"}},
			{10, "other", []string{"other"}},
		},
	}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("got  %+v\nwant %+v", d, want)
	}
	if !d.Blocks[0].Is("hcl", "a.hcl") || d.Blocks[0].Is("hcl", "b.hcl") || d.Blocks[1].Is("hcl") {
		t.Error("Is tells blocks apart wrongly")
	}
}

// documents reads all documents, or fails.
func documents(t *testing.T) []*Document {
	t.Helper()
	all, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// document is the one at path.
func document(t *testing.T, path string) *Document {
	t.Helper()
	for _, d := range documents(t) {
		if d.Path == path {
			return d
		}
	}
	t.Fatalf("no document %s", path)
	return nil
}

// block is the only block of a document of that kind.
func block(t *testing.T, path, lang string, args ...string) Block {
	t.Helper()
	var found []Block
	for _, b := range document(t, path).Blocks {
		if b.Is(lang, args...) {
			found = append(found, b)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d blocks of %s %v, want 1", path, len(found), lang, args)
	}
	return found[0]
}
