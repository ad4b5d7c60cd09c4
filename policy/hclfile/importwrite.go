package hclfile

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/pgsignet/pgsignet/policy"
)

// importWriter writes blocks and proves that the result loads.
type importWriter struct {
	config ImportConfig
	blocks []*importBlock
}

// maxRounds bounds how often blocks are left out because of what Check says of the others.
const maxRounds = 100

// write leaves out blocks until the rest loads: what is never reached, for example, grants
// nothing in PostgreSQL that an earlier line does not.
func (w *importWriter) write() (*Imported, error) {
	w.uniqueNames()
	for range maxRounds {
		text, starts := w.render()
		if !w.leaveOut(text, starts) {
			return &Imported{HCL: text, Notes: w.notes()}, nil
		}
	}
	for _, b := range w.blocks {
		if b.leftOut == "" {
			b.leftOut = "it could not be checked"
		}
	}
	text, _ := w.render()
	return &Imported{HCL: text, Notes: w.notes()}, nil
}

// uniqueNames numbers blocks that would be called the same.
func (w *importWriter) uniqueNames() {
	seen := map[string]int{}
	for _, b := range w.blocks {
		b.name = printable(b.name)
		if seen[b.name]++; seen[b.name] > 1 {
			b.name += " (" + strconv.Itoa(seen[b.name]) + ")"
		}
	}
}

// header explains the file.
const header = `Imported from %s by pgsignet import. A login is granted here when PostgreSQL grants it, but for what the comments say.
Known to differ (see the manual): a captured postgres, pg_* or managed superuser is refused; so is an empty capture; where an
expression without a capture ends PostgreSQL's search, later lines are still tried; a user name over 63 bytes is refused;
replication needs replication = true. Each database needs a database block; "*" is every one that has.`

// render writes all blocks. starts holds the line at which each begins that is not left out.
func (w *importWriter) render() ([]byte, map[int]*importBlock) {
	var out bytes.Buffer
	from := filepath.Base(w.config.Ident)
	if w.config.HBA != "" {
		from += " and " + filepath.Base(w.config.HBA)
	}
	comment(&out, fmt.Sprintf(header, from))
	for _, b := range w.blocks {
		out.WriteByte('\n')
		b.write(&out)
	}
	text := hclwrite.Format(out.Bytes())
	starts := map[int]*importBlock{}
	line := 0
	next := slices.Clone(w.blocks)
	for l := range strings.Lines(string(text)) {
		line++
		if strings.HasPrefix(l, "map ") {
			at := slices.IndexFunc(next, func(b *importBlock) bool { return b.leftOut == "" })
			starts[line] = next[at]
			next = next[at+1:]
		}
	}
	return text, starts
}

// leaveOut loads the text and leaves out the blocks with errors. It reports whether there were any.
func (w *importWriter) leaveOut(text []byte, starts map[int]*importBlock) bool {
	parser := hclparse.NewParser()
	f, diags := parser.ParseHCL(text, "import")
	if !diags.HasErrors() {
		set, more := Decode(f.Body, parser.Files())
		diags = append(diags, more...)
		findings := policy.Check(policy.Config{Rules: set.Rules, Databases: []policy.Database{{Name: "*", Upstream: "x"}}})
		diags = append(diags, set.Diagnostics(findings)...)
		diags = append(diags, w.compare(set, starts)...)
	}
	found := false
	for _, diag := range diags {
		b := blockAt(starts, diag.Subject.Start.Line)
		switch {
		case b == nil:
		case diag.Severity == hcl.DiagError:
			found = true
			b.leftOut = w.localise(diag.Detail, starts)
		}
	}
	return found
}

// compare reports blocks whose text did not survive being written and read.
func (w *importWriter) compare(set *RuleSet, starts map[int]*importBlock) hcl.Diagnostics {
	var out hcl.Diagnostics
	for i := range set.Rules {
		r := &set.Rules[i]
		b := starts[r.Line]
		roles := r.Roles
		if r.Role != "" {
			roles = []string{r.Role}
		}
		if b == nil || len(r.Match) != 1 || !slices.Equal(r.Match[0].Values, []string{b.value}) || !slices.Equal(roles, b.roles) || !slices.Equal(r.Databases, b.databases) {
			out = out.Append(&hcl.Diagnostic{Severity: hcl.DiagError, Detail: "it cannot be written in HCL exactly", Subject: set.places[i].block.Ptr()})
		}
	}
	return out
}

// blockAt is the block that holds a line of the text.
func blockAt(starts map[int]*importBlock, line int) *importBlock {
	for ; line > 0; line-- {
		if b := starts[line]; b != nil {
			return b
		}
	}
	return nil
}

// localise replaces places in the text by names: lines move when blocks are left out.
func (w *importWriter) localise(detail string, starts map[int]*importBlock) string {
	for line := range starts {
		detail = strings.ReplaceAll(detail, fmt.Sprintf(" (import:%d)", line), "")
	}
	return strings.TrimSuffix(detail, " Move it up or remove it.")
}

// notes lists what the comments say.
func (w *importWriter) notes() []ImportNote {
	var out []ImportNote
	for _, b := range w.blocks {
		s := b.sources[len(b.sources)-1]
		if b.leftOut != "" {
			out = append(out, ImportNote{File: s.file, Line: s.line, LeftOut: true, Text: b.leftOut})
			continue
		}
		for _, n := range b.notes {
			out = append(out, ImportNote{File: s.file, Line: s.line, Text: n})
		}
	}
	return out
}

// write writes one block with the lines that it comes from.
func (b *importBlock) write(out *bytes.Buffer) {
	for _, s := range b.sources {
		fmt.Fprintf(out, "# %s:%d: %s\n", printable(filepath.Base(s.file)), s.line, printable(s.raw))
	}
	if b.leftOut != "" {
		comment(out, "LEFT OUT: "+b.leftOut)
		return
	}
	for _, n := range b.notes {
		comment(out, n)
	}
	fmt.Fprintf(out, "map %s {\nmatch { %s = %s }\n", quote(b.name), b.field, quote(b.value))
	if len(b.roles) == 1 {
		fmt.Fprintf(out, "role = %s\n", quote(b.roles[0]))
	} else {
		fmt.Fprintf(out, "roles = %s\n", quoteList(b.roles))
	}
	fmt.Fprintf(out, "databases = %s\n", quoteList(b.databases))
	if len(b.from) > 0 {
		fmt.Fprintf(out, "from = %s\n", quoteList(b.from))
	}
	if len(b.when) > 0 {
		fmt.Fprintf(out, "when = %s\n", strings.Join(b.when, " && "))
	}
	out.WriteString("}\n")
}

// comment writes text in lines of about 100 characters.
func comment(out *bytes.Buffer, text string) {
	line := "#"
	for _, word := range strings.Fields(text) {
		word = printable(word)
		if len(line)+len(word) > 100 {
			out.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	out.WriteString(line + "\n")
}

// printable is text for a comment: one line of valid UTF-8, nothing invisible.
func printable(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "?") {
		if r == '\t' || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, "\\u%04x", r)
	}
	return b.String()
}

// quote writes an HCL string.
func quote(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "${", "$${", "%{", "%%{").Replace(s)
	return `"` + s + `"`
}

func quoteList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
