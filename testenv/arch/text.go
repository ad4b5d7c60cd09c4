package arch

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// textFiles are the kinds of file in which people write paths.
var textFiles = []string{".go", ".md", ".sh", ".hcl", ".yml", ".yaml", ".json", ".js", ".py", ".rb", ".pl", ".php",
	".java", ".mod", ".sum", ".txt", ".service", ".socket", ".conf", ".toml", ".tmpl", ".1", ".5", ".8"}

func isText(name string) bool {
	base := path.Base(name)
	return slices.Contains(textFiles, path.Ext(base)) || base == "Makefile" || base == "Dockerfile" || strings.HasPrefix(name, ".ci/")
}

// ownPath finds absolute paths of somebody's checkout or home, which mean nothing on another machine.
var ownPath = regexp.MustCompile(`(?:^|[\s"'` + "`" + `=(:,])/(?:work|workspace|builds|root|Users|home)/[A-Za-z0-9._-]+`)

// exampleHomes may be written in documents and tests: nobody lives there.
var exampleHomes = regexp.MustCompile(`/(?:home|Users)/(?:alice|bob|app|user|me|x|you)\b`)

func (c *checker) checkText(name, text string) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		for _, found := range ownPath.FindAllString(line, -1) {
			if !exampleHomes.MatchString(found) {
				c.violate(name, "line %d names %s, a path of one machine", number, strings.TrimLeft(found, " \t\"'`=(:,"))
			}
		}
	}
}
