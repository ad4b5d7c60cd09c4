package compat

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	got, err := parse([]byte(strings.Join([]string{
		"Picked up JAVA_TOOL_OPTIONS: x",
		`{"driver":"d","version":"1.2","library":"l"}`,
		`{"step":"simple","status":"ok","detail":"a\n  b"}`,
		`{"step":"notify","status":"none","detail":"not there"}`,
		"",
	}, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if got.Driver != "d" || got.Version != "1.2" || len(got.Steps) != 2 {
		t.Errorf("got %+v", got)
	}
	for name, want := range map[string]Step{
		"simple": {"simple", OK, "a b"}, "notify": {"notify", None, "not there"},
		"cancel": {"cancel", Fail, "the program said nothing about it"},
	} {
		if step := got.Find(name); step != want {
			t.Errorf("Find(%q) = %+v, want %+v", name, step, want)
		}
	}
	for _, bad := range []string{"", "hello\n", `{"driver":"d"}`, `{"step":`} {
		if _, err := parse([]byte(bad)); err == nil {
			t.Errorf("parse(%q) found nothing wrong", bad)
		}
	}
}

func TestTableCells(t *testing.T) {
	result := func(status Status) *Result { return &Result{Steps: []Step{{Step: "notify", Status: status}}} }
	for _, tt := range []struct {
		session, transaction *Result
		want                 string
	}{
		{result(OK), result(OK), "yes"},
		{result(None), result(None), "–"},
		{result(OK), result(Fail), "session mode"},
		{result(Fail), result(OK), "transaction mode"},
		{result(Fail), result(Fail), "**no**"},
		{nil, nil, "not run"},
	} {
		if got := cell(Row{Session: tt.session, Transaction: tt.transaction}, "notify"); got != tt.want {
			t.Errorf("cell is %q, want %q", got, tt.want)
		}
	}
	if a, b := WithoutVersions("| x | 1.2.3 | libpq 15 |"), WithoutVersions("| x | 1.2.4 | libpq 15 |"); a != b {
		t.Errorf("%q and %q differ by a version alone", a, b)
	}
}

func TestAbsentDriver(t *testing.T) {
	p := &Place{Source: ".", Work: t.TempDir()}
	_, err := p.Run(t.Context(), Driver{Name: "none", Needs: []string{"/nonexistent/*"}, Packages: []string{"pkg"}}, &Target{})
	if reason, ok := errors.AsType[absent](err); !ok || !strings.Contains(string(reason), "pkg") {
		t.Errorf("got %v, want an absent driver that names its package", err)
	}
}
