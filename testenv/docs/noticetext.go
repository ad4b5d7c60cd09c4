package docs

import (
	"fmt"
	"slices"
	"strings"
)

const noticeHead = `pgsignet
Copyright the pgsignet authors

pgsignet is licensed under the Apache License, Version 2.0; see LICENSE.

What the program links of others is below, unmodified, at the versions that go.mod names. It also
contains the standard library of Go, whose licence is that of the golang.org/x modules below.
This file is written by "go test ./testenv/docs -run Notice -update".


Mozilla Public License 2.0 (MPL-2.0)
------------------------------------

%s
The source is at https://github.com/hashicorp/hcl, tagged with the version that go.mod names.
The licence is at https://mozilla.org/MPL/2.0/.


Apache License 2.0 (Apache-2.0)
-------------------------------

%s
The licence is the text in LICENSE.
%s`

const noticeData = `

Data
----

  policy/identity/openssl_names.txt            names of object identifiers as OpenSSL prints them;
                                               OpenSSL is licensed under Apache-2.0
  broker/trust/testdata/limbo                  certificates of x509-limbo, for tests, in no program;
                                               its licence, Apache-2.0, is beside them
`

// Notice is the text of NOTICE for these modules.
func Notice(all []Licensed) string {
	var b strings.Builder
	fmt.Fprintf(&b, noticeHead, list(ofLicence(all, "MPL-2.0")), list(ofLicence(all, "Apache-2.0")), notices(all))
	for _, licence := range []struct{ id, title string }{
		{"BSD-3-Clause", "BSD 3-Clause License (BSD-3-Clause)"}, {"MIT", "MIT License (MIT)"},
	} {
		fmt.Fprintf(&b, "\n\n%s\n%s\n", licence.title, strings.Repeat("-", len(licence.title)))
		for _, group := range sameText(ofLicence(all, licence.id)) {
			fmt.Fprintf(&b, "\n%s\n%s\n", list(group), indent(group[0].Text))
		}
	}
	return b.String() + noticeData
}

func ofLicence(all []Licensed, id string) []Licensed {
	return slices.DeleteFunc(slices.Clone(all), func(m Licensed) bool { return m.Licence != id })
}

// list names modules and their copyright lines.
func list(all []Licensed) string {
	var b strings.Builder
	for _, m := range all {
		name := m.Path
		for _, line := range m.Copyright {
			fmt.Fprintf(&b, "  %-43s  %s\n", name, line)
			name = ""
		}
		if len(m.Copyright) == 0 {
			fmt.Fprintf(&b, "  %s\n", name)
		}
	}
	return b.String()
}

// notices passes on the NOTICE files, as the Apache licence asks.
func notices(all []Licensed) string {
	var b strings.Builder
	for _, m := range all {
		if m.Notice != "" {
			fmt.Fprintf(&b, "\nNOTICE of %s:\n\n%s\n", m.Path, indent(m.Notice))
		}
	}
	return b.String()
}

// sameText groups modules whose licence has the same words, the largest group first.
func sameText(all []Licensed) [][]Licensed {
	at := map[string]int{}
	var groups [][]Licensed
	for _, m := range all {
		key := strings.Join(strings.Fields(m.Text), " ")
		i, ok := at[key]
		if !ok {
			i = len(groups)
			at[key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], m)
	}
	slices.SortStableFunc(groups, func(a, b []Licensed) int { return len(b) - len(a) })
	return groups
}

func indent(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		if line = strings.TrimRight(line, " \t"); line != "" {
			line = "    " + line
		}
		lines[i] = line
	}
	return strings.Join(lines, "\n")
}
