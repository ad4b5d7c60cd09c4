package docs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Licensed is a module with what its licence asks a distributor to pass on.
type Licensed struct {
	Path      string
	Licence   string   // SPDX identifier
	Copyright []string // lines
	Text      string   // of the licence, without title and copyright lines
	Notice    string   // of its NOTICE file
}

// Linked returns the third-party modules that the program links, by path.
func Linked() ([]Licensed, error) {
	dirs := map[string]string{}
	if err := addModules(dirs, "./cmd/pgsignet"); err != nil {
		return nil, err
	}
	var all []Licensed
	for path, dir := range dirs {
		m, err := readLicence(path, dir)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b Licensed) int { return cmp.Compare(a.Path, b.Path) })
	return all, nil
}

// addModules adds the modules, with their folders, of all packages that the packages in args need.
// A package that no longer exists needs none.
func addModules(dirs map[string]string, args ...string) error {
	if _, err := os.Stat(filepath.Join(Root, args[len(args)-1])); err != nil {
		return nil
	}
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=Module"}, args...)...)
	cmd.Dir = Root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0") // as released
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, &stderr)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Module *struct {
				Path, Dir string
				Main      bool
			}
		}
		switch err := dec.Decode(&p); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if p.Module != nil && !p.Module.Main {
			dirs[p.Module.Path] = p.Module.Dir
		}
	}
}

func readLicence(path, dir string) (Licensed, error) {
	m := Licensed{Path: path}
	text, err := readFirst(dir, "LICENSE*", "COPYING*")
	if err != nil {
		return m, fmt.Errorf("%s: %w", path, err)
	}
	if m.Licence = classify(text); m.Licence == "" {
		return m, fmt.Errorf("%s: unknown licence; teach classify", path)
	}
	m.Copyright, m.Text = splitLicence(text)
	m.Notice, err = readFirst(dir, "NOTICE*")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return m, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func readFirst(dir string, patterns ...string) (string, error) {
	for _, p := range patterns {
		names, err := filepath.Glob(filepath.Join(dir, p))
		if err != nil {
			return "", err
		}
		for _, name := range names {
			if filepath.Ext(name) == ".go" {
				continue
			}
			text, err := os.ReadFile(name)
			return strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n")), err
		}
	}
	return "", fmt.Errorf("no file %s: %w", strings.Join(patterns, ", "), os.ErrNotExist)
}

// classify is the SPDX identifier of a licence's text, "" when it is unknown.
func classify(text string) string {
	flat := strings.Join(strings.Fields(text), " ")
	switch {
	case strings.Contains(flat, "Mozilla Public License"):
		return "MPL-2.0"
	case strings.Contains(flat, "Apache License Version 2.0, January 2004"):
		return "Apache-2.0"
	case strings.Contains(flat, "Permission is hereby granted, free of charge, to any person obtaining a copy of this software"):
		return "MIT"
	case strings.Contains(flat, "Redistribution and use in source and binary forms") && strings.Contains(flat, "Neither the name"):
		return "BSD-3-Clause"
	}
	return ""
}

var (
	copyrightLine = regexp.MustCompile(`^\s*Copyright .*\d{4}|^\s*Copyright © `)
	titleLine     = regexp.MustCompile(`^(The )?MIT License( \(MIT\))?$`)
)

// splitLicence takes the copyright lines at the head of a licence and its title from the text.
func splitLicence(text string) (copyright []string, rest string) {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || titleLine.MatchString(line):
		case copyrightLine.MatchString(line):
			copyright = append(copyright, line)
		default:
			return copyright, strings.Join(lines[i:], "\n")
		}
	}
	return copyright, ""
}
