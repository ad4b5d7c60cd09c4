package arch

import (
	"fmt"
	"strings"
)

// Markdown is the table as docs/architecture.md shows it.
func Markdown(table []Rule) string {
	var b strings.Builder
	b.WriteString("| package | may import, beyond the standard library | never | because |\n| --- | --- | --- | --- |\n")
	for _, rule := range table {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", rule.Package, code(rule.May), code(append(rule.Never[:len(rule.Never):len(rule.Never)], calls(rule.Calls)...)), rule.Why)
	}
	return b.String()
}

// calls shows the first two of a list that is about one thing.
func calls(all []string) []string {
	if len(all) == 0 {
		return nil
	}
	return []string{all[0] + "()", "…"}
}

func code(paths []string) string {
	if len(paths) == 0 {
		return "—"
	}
	quoted := make([]string, len(paths))
	for i, p := range paths {
		quoted[i] = "`" + p + "`"
		if p == anything || p == "…" {
			quoted[i] = p
		}
	}
	return strings.Join(quoted, ", ")
}
