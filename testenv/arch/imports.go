package arch

import (
	"path"
	"slices"
	"strings"
)

// archivedCodec is no longer maintained and panics on hostile input (GO-2026-4518): one package may
// use it, behind its own reader and a recover.
const (
	archivedCodec = "github.com/jackc/pgproto3/v2"
	codecPackage  = "pgwire"
)

// loggers of the standard library write past the operations log.
var loggers = []string{"log", "log/slog", "log/syslog"}

// checkImport compares one import of a file with the rule of its package.
func (c *checker) checkImport(name, pkg string, rule *Rule, imported string) {
	own, isOwn := strings.CutPrefix(imported, Module+"/")
	if isOwn {
		imported = own
	}
	switch {
	case imported == archivedCodec && pkg != codecPackage:
		c.violate(name, "imports %s, which only %s may", imported, codecPackage)
	case isOwn && covers("testenv/...", own) && !mayUseTestenv(name):
		c.violate(name, "imports %s: testenv is for tests and cmd/pgsignet/demo*.go", own)
	case slices.Contains(loggers, imported) && !covers("testenv/...", pkg) && !isTest(name):
		c.violate(name, "imports %s: only broker and cmd log, and they use zap", imported)
	case coversAny(rule.Never, imported) && !isTest(name):
		c.violate(name, "imports %s, which %s must not (%s)", imported, rule.Package, rule.Why)
	case !isOwn && isStandard(imported):
	case !allowed(name, pkg, rule, imported, isOwn):
		c.violate(name, "imports %s, which is not in the line of %s in testenv/arch", imported, rule.Package)
	}
}

func allowed(name, pkg string, rule *Rule, imported string, own bool) bool {
	if slices.Contains(rule.May, anything) || coversAny(rule.May, imported) {
		return true
	}
	if !isTest(name) {
		return false
	}
	if coversAny(rule.Tests, imported) {
		return true
	}
	if own {
		return imported == pkg || covers("testenv/...", imported) // its own external test; mayUseTestenv said yes
	}
	return coversAny(TestModules, imported)
}

// mayUseTestenv is true for tests, for testenv itself and for the demo.
func mayUseTestenv(name string) bool {
	if isTest(name) || strings.HasPrefix(name, "testenv/") {
		return true
	}
	demo, _ := path.Match("cmd/pgsignet/demo*.go", name)
	return demo
}

// isStandard is how Go itself tells the standard library's paths: no dot in the first element.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}
