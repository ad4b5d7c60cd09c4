package docs

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

func TestInternalLinksResolve(t *testing.T) {
	all := documents(t)
	anchors := map[string]map[string]bool{}
	for _, d := range all {
		anchors[d.Path] = d.Anchors
	}
	for _, d := range all {
		for _, link := range d.Links {
			if strings.Contains(link.Text, "://") || strings.HasPrefix(link.Text, "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(link.Text, "#")
			target := d.Path
			if file != "" {
				target = path.Join(path.Dir(d.Path), file)
			}
			if _, err := os.Stat(filepath.Join(Root, filepath.FromSlash(target))); err != nil {
				t.Errorf("%s:%d: link to %s: %v", d.Path, link.Line, link.Text, err)
			}
			if anchor != "" && !anchors[target][anchor] {
				t.Errorf("%s:%d: link to %s: no such heading", d.Path, link.Line, link.Text)
			}
		}
	}
}
