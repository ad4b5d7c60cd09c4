package hclfile

import (
	"fmt"
	"strings"
)

// ImportConfig names the files to import and how to read them.
type ImportConfig struct {
	Ident string // path of pg_ident.conf
	HBA   string // path of pg_hba.conf; "": every map of pg_ident.conf, for every database

	Read func(path string) ([]byte, error)  // a file, also those that @ and include name
	List func(dir string) ([]string, error) // the names in a directory, for include_dir
}

// Imported is what pg_ident.conf and pg_hba.conf become.
type Imported struct {
	HCL   []byte       // formatted; loads, and explains itself in comments
	Notes []ImportNote // what was left out or may be read differently, in the order of the files
}

// ImportNote is a remark about a line of the imported files.
type ImportNote struct {
	File    string
	Line    int
	LeftOut bool // the line grants nothing here
	Text    string
}

// String is `pg_ident.conf:3: left out: ...`.
func (n ImportNote) String() string {
	what := ""
	if n.LeftOut {
		what = "left out: "
	}
	if n.Line == 0 { // of the file as a whole
		return fmt.Sprintf("%s: %s%s", n.File, what, n.Text)
	}
	return fmt.Sprintf("%s:%d: %s%s", n.File, n.Line, what, n.Text)
}

// ImportError is why nothing was imported: PostgreSQL refuses such a file as a whole, and goes on
// with the one before (T11).
type ImportError struct{ Problems []ImportNote }

// Error lists the problems, a line each.
func (e *ImportError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Import turns pg_ident.conf, and the lines of pg_hba.conf that log in by certificate, into maps
// with the same verdicts. What cannot be carried over exactly grants nothing and is a comment
// with the reason; see T4 to T13 for what is known to differ.
//
// The error is an *ImportError.
func Import(c ImportConfig) (*Imported, error) {
	ident := &confReader{config: c}
	ident.read(c.Ident, c.Ident, 0, 0)
	entries := identEntries(ident)
	problems := ident.problems
	var blocks []*importBlock
	if c.HBA == "" {
		blocks = identBlocks(entries)
	} else {
		hba := &confReader{config: c}
		hba.read(c.HBA, c.HBA, 0, 0)
		blocks = hbaBlocks(hba, entries)
		problems = append(problems, hba.problems...)
	}
	if len(problems) > 0 {
		return nil, &ImportError{Problems: problems}
	}
	w := &importWriter{config: c, blocks: blocks}
	return w.write()
}

// importBlock is one map block, or a comment where nothing can be granted.
type importBlock struct {
	name    string
	sources []importSource // the lines that it stands for
	notes   []string
	leftOut string // the reason; then only a comment is written

	field     string // of match: cn or dn
	value     string
	roles     []string
	databases []string
	from      []string
	when      []string // all must hold
}

// importSource is a line of an imported file.
type importSource struct {
	file string
	line int
	raw  string
}

func (l *confLine) source() importSource { return importSource{l.file, l.line, l.raw} }
