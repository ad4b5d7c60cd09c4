package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Root is the repository, seen from this package's folder, where go test runs.
const Root = "../.."

// Document is one Markdown file.
type Document struct {
	Path    string // below Root, with slashes
	Blocks  []Block
	Code    []Text          // inline code
	Links   []Text          // targets of links
	Rows    []Row           // of all tables, headers included
	Anchors map[string]bool // of headings
}

// Text is a piece of a line.
type Text struct {
	Line int // from 1
	Text string
}

// Block is a fenced block.
type Block struct {
	Doc  string
	Line int // of the fence
	Lang string
	Args []string // the rest of the info string
	Text string
}

// Is says whether the block has that language and begins with these arguments.
func (b *Block) Is(lang string, args ...string) bool {
	return b.Lang == lang && len(b.Args) >= len(args) && slices.Equal(b.Args[:len(args)], args)
}

// Row is a table's row, with the first cell of the table's header to tell tables apart.
type Row struct {
	Line  int
	Table string
	Cells []string
}

// Read parses the documents that people read: those at the root and those in docs.
func Read() ([]*Document, error) {
	var all []*Document
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		names, err := filepath.Glob(filepath.Join(Root, filepath.FromSlash(pattern)))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			rel, err := filepath.Rel(Root, name)
			if err != nil {
				return nil, err
			}
			all = append(all, Parse(filepath.ToSlash(rel), string(text)))
		}
	}
	return all, nil
}

var (
	inlineCode = regexp.MustCompile("`([^`]+)`")
	linkTarget = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// Parse reads one document.
func Parse(path, text string) *Document {
	d := &Document{Path: path, Anchors: map[string]bool{}}
	var open *Block
	table, number := "", 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case open != nil && fence:
			d.Blocks = append(d.Blocks, *open)
			open = nil
		case open != nil:
			open.Text += line + "\n"
		case fence:
			open = &Block{Doc: path, Line: number}
			if words := strings.Fields(info); len(words) > 0 {
				open.Lang, open.Args = words[0], words[1:]
			}
		default:
			table = d.prose(line, number, table)
		}
	}
	return d
}

// prose takes a line outside fences; table is the table it may continue, and so is the result.
func (d *Document) prose(line string, number int, table string) string {
	for _, m := range inlineCode.FindAllStringSubmatch(line, -1) {
		d.Code = append(d.Code, Text{number, m[1]})
	}
	bare := inlineCode.ReplaceAllString(line, "")
	for _, m := range linkTarget.FindAllStringSubmatch(bare, -1) {
		d.Links = append(d.Links, Text{number, m[1]})
	}
	if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
		d.Anchors[slug(title)] = true
	}
	if !strings.HasPrefix(line, "|") {
		return ""
	}
	cells := cellsOf(line)
	if table == "" {
		table = cells[0]
	}
	d.Rows = append(d.Rows, Row{Line: number, Table: table, Cells: cells})
	return table
}

// cellsOf splits a table's line; \| is part of a cell.
func cellsOf(line string) []string {
	line = strings.ReplaceAll(line, `\|`, "\x00")
	cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
	for i, c := range cells {
		cells[i] = strings.TrimSpace(strings.ReplaceAll(c, "\x00", "|"))
	}
	return cells
}

// slug is a heading's anchor as GitHub makes it.
func slug(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(title))
}
