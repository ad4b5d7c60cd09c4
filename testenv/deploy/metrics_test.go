package deploy

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/admin"
)

const root = "../.."

// metrics are the labels of every metric that /metrics can show, by name: each counter is fed once,
// and every list of Gauges has an entry.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	var g admin.Gauges
	fill(reflect.ValueOf(&g).Elem())
	m := admin.NewMetrics("test", func() admin.Gauges { return g })
	feed(m)
	fed := reflect.ValueOf(&g).Elem().FieldByName("Reloads") // the configuration's own has no listener
	fed.Set(reflect.Append(fed, reflect.ValueOf(admin.ReloadGauge{})))
	answer := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, "http://localhost/metrics", nil)
	(&admin.HTTP{Metrics: m}).Server().Handler.ServeHTTP(answer, request)
	names := map[string][]string{}
	label := regexp.MustCompile(`([a-z_]+)="`)
	for line := range strings.Lines(answer.Body.String()) {
		name := regexp.MustCompile(`^[a-z_]+`).FindString(line)
		if name == "" {
			continue
		}
		for _, l := range label.FindAllStringSubmatch(line, -1) {
			names[name] = append(names[name], l[1])
		}
		if names[name] == nil {
			names[name] = []string{}
		}
	}
	if len(names) < 60 {
		t.Fatalf("/metrics has %d names, too few to be true:\n%s", len(names), answer.Body)
	}
	return names
}

// fill puts one entry into every slice and map, and a word into every string.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("word")
	}
}

// feed calls every method that counts something: those that take words and durations.
func feed(m *admin.Metrics) {
	v := reflect.ValueOf(m)
	for i := range v.NumMethod() {
		method := v.Method(i)
		var args []reflect.Value
		for j := range method.Type().NumIn() {
			switch typ := method.Type().In(j); typ {
			case reflect.TypeFor[string]():
				args = append(args, reflect.ValueOf("word"))
			case reflect.TypeFor[time.Duration]():
				args = append(args, reflect.ValueOf(time.Second))
			}
		}
		if len(args) == method.Type().NumIn() {
			method.Call(args)
		}
	}
}

var (
	metricName = regexp.MustCompile(`\b(pgsignet|process|go)_[a-z_]+`)
	selector   = regexp.MustCompile(`\{([^}]*)\}`)
	selected   = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)`)
	grouped    = regexp.MustCompile(`\bby \(([^)]*)\)`)
	templated  = regexp.MustCompile(`\{\{\s*(?:\$labels\.)?([a-z_]+)`)
)

// ofScrape are the labels that Prometheus adds, and a histogram's.
var ofScrape = []string{"job", "instance", "le"}

// check looks for metrics and labels in an expression, and in the texts that show its labels.
func check(t *testing.T, where, expr string, shown ...string) {
	t.Helper()
	all := metrics(t)
	known := slices.Clone(ofScrape)
	for _, name := range metricName.FindAllString(expr, -1) {
		labels, ok := all[name]
		if !ok {
			t.Errorf("%s: /metrics has no %s", where, name)
		}
		known = append(known, labels...)
	}
	var used []string
	for _, s := range selector.FindAllStringSubmatch(expr, -1) {
		for _, l := range selected.FindAllStringSubmatch(s[1], -1) {
			used = append(used, l[1])
		}
	}
	for _, g := range grouped.FindAllStringSubmatch(expr, -1) {
		used = append(used, strings.Split(strings.ReplaceAll(g[1], " ", ""), ",")...)
	}
	for _, text := range shown {
		for _, l := range templated.FindAllStringSubmatch(text, -1) {
			used = append(used, l[1])
		}
	}
	for _, label := range used {
		if !slices.Contains(known, label) {
			t.Errorf("%s: %s has no label %s", where, expr, label)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every alert says what to do, too, and names sections that there are.
func TestAlertsReadMetricsThatExist(t *testing.T) {
	text := read(t, "deploy/prometheus/alerts.yml")
	rules := regexp.MustCompile(`alert: (\w+)\n\s+expr: (.*)\n(?s:.*?)summary: "(.*?)"\n\s+description: "(.*\.)"\n`).FindAllStringSubmatch(text, -1)
	if len(rules) != strings.Count(text, "- alert:") || len(rules) < 15 {
		t.Fatalf("%d rules are understood of %d", len(rules), strings.Count(text, "- alert:"))
	}
	for _, r := range rules {
		expr := strings.ReplaceAll(r[2], `up{job="pgsignet"}`, "") // Prometheus's own
		shown := strings.ReplaceAll(r[3], "{{ $value", "")
		for _, m := range regexp.MustCompile(`(docs/\w+\.md), ([A-Z]\w+(?: \w+)*)`).FindAllStringSubmatch(r[4], -1) {
			if !strings.Contains(read(t, m[1]), "\n## "+m[2]+"\n") {
				t.Errorf("%s: %s has no section %s", r[1], m[1], m[2])
			}
		}
		check(t, r[1], expr, shown)
	}
}

func TestDashboardReadsMetricsThatExist(t *testing.T) {
	var dashboard any
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/pgsignet.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	exprs := 0
	var walk func(title string, v any)
	walk = func(title string, v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(title, e)
			}
		case map[string]any:
			if s, ok := v["title"].(string); ok {
				title = s
			}
			if expr, ok := v["expr"].(string); ok {
				exprs++
				legend, _ := v["legendFormat"].(string)
				check(t, "panel "+title, expr, legend)
			}
			for _, e := range v {
				walk(title, e)
			}
		}
	}
	walk("", dashboard)
	if exprs < 25 {
		t.Errorf("%d expressions, too few to be true", exprs)
	}
}

// The table of docs/operations.md names every metric of ours, and no other.
func TestOperationsPageNamesEveryMetric(t *testing.T) {
	_, table, _ := strings.Cut(read(t, "docs/operations.md"), "| metric | what it counts | labels |")
	table, _, _ = strings.Cut(table, "\n\n")
	documented := map[string]bool{}
	for line := range strings.Lines(table) {
		first := strings.Split(line+"|", "|")[1]
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(first, -1) {
			documented["pgsignet_"+m[1]] = true
		}
	}
	all := metrics(t)
	for name := range all {
		histogram, _ := strings.CutSuffix(name, "_count")
		switch {
		case !strings.HasPrefix(name, "pgsignet_"), strings.HasSuffix(name, "_bucket"), strings.HasSuffix(name, "_sum"):
		case !documented[name] && !documented[histogram]:
			t.Errorf("docs/operations.md does not name %s", name)
		}
	}
	for name := range documented {
		if all[name] == nil && all[name+"_count"] == nil {
			t.Errorf("docs/operations.md names %s, which /metrics does not have", name)
		}
	}
}
