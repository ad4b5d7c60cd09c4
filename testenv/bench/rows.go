package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// row is one line of the comparison.
type row struct {
	name  string
	title string
	work  work
	unit  string
	// value and cpu are the bar: pgsignet divided by PgBouncer. 0 is none.
	value, cpu float64
	own        float64 // the bar of pgsignet's value itself, whatever PgBouncer's
	most       float64 // the same where less is better
	lower      bool    // a smaller value is better
	alone      bool    // PgBouncer is not measured: it has no direct TLS
	broker     string  // which of the broker's configurations; default plain
	rounds     int     // how often it is run, if not as often as the others
}

// work is what a row does to a proxy.
type work func(ctx context.Context, w *world, p *proxy) (sample, error)

// sample is one measurement.
type sample struct {
	value float64       // in the row's unit
	cpu   time.Duration // of the proxy, per transaction; 0: not measured
}

var rows = []row{
	{name: "simple16", title: "simple, 16 clients", unit: "tps", value: 1.20, cpu: 0.75, work: pgbench("-S", "-M", "simple", "-c", "16", "-j", "2")},
	{name: "simple64", title: "simple, 64 clients", unit: "tps", value: 1.40, cpu: 0.60, work: pgbench("-S", "-M", "simple", "-c", "64", "-j", "2")},
	{name: "extended16", title: "extended, 16 clients", unit: "tps", value: 1.20, cpu: 0.70, work: pgbench("-S", "-M", "extended", "-c", "16", "-j", "2")},
	{name: "prepared16", title: "prepared, 16 clients", unit: "tps", value: 1.30, cpu: 0.65, work: pgbench("-S", "-M", "prepared", "-c", "16", "-j", "2")},
	{name: "connect8", title: "a login per transaction, 8 clients", unit: "tps", value: 1.90, cpu: 0.27, work: pgbench("-S", "-C", "-c", "8", "-j", "2")},
	{name: "result20mb", title: "20 MB results, 2 clients", unit: "tps", value: 1.60, cpu: 0.42, work: pgbench("-f", "result20mb.sql", "-c", "2", "-j", "2")},
	{name: "simple1", title: "simple, 1 client: latency", unit: "ms", value: 1.10, lower: true, work: latency("-S", "-M", "simple", "-c", "1")},
	{name: "audited16", title: "simple, 16 clients, audit of statements", unit: "tps", value: 1.05, cpu: 0.90, broker: "audited", work: pgbench("-S", "-M", "simple", "-c", "16", "-j", "2")},
	{name: "strict64", title: "64 clients whose statements wait for their records", unit: "of best effort", alone: true, own: 0.50, rounds: 1, broker: "strict", work: ofBestEffort(64)},
	{name: "always64", title: `simple, 64 clients, reset = "always"`, unit: "tps", broker: "always", work: pgbench("-S", "-M", "simple", "-c", "64", "-j", "2")},
	{name: "token64", title: "simple, 64 clients, stamped tokens", unit: "tps", broker: "token", work: pgbench("-S", "-M", "simple", "-c", "64", "-j", "2")},
	{name: "storm5000", title: "5 000 logins, one query each", unit: "s", value: 0.33, lower: true, work: storm(5000)},
	{name: "idle5000", title: "memory per idle TLS client", unit: "KB", value: 1.0, lower: true, work: idleMemory(5000)},
	{name: "idleload", title: "16 active clients beside 10 000 idle ones", unit: "of what they do alone", own: 0.97, rounds: 1, work: besideIdle(10_000)},
	{name: "flood", title: "p99 of 16 clients under a flood of handshakes", unit: "of quiet", alone: true, most: 2, work: flooded},
}

// result is a row's medians.
type result struct {
	Name, Title, Unit   string
	PgBouncer, Pgsignet float64
	PgBouncerCPU        float64 // µs per transaction
	PgsignetCPU         float64
	Ratio, Bar          float64
	OwnBar, Most        float64
	CPURatio, CPUBar    float64
	Pass                bool
	Error               string // what has failed; "": nothing
}

const header = `| work | PgBouncer | pgsignet | ratio | bar | cpu PgBouncer | cpu pgsignet | ratio | bar | |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |`

func (r *result) line() string {
	verdict := "ok"
	switch {
	case r.Bar == 0 && r.CPUBar == 0 && r.OwnBar == 0 && r.Most == 0:
		verdict = "no bar"
	case !r.Pass:
		verdict = "BELOW THE BAR"
	}
	if r.Error != "" {
		verdict = "FAILED: " + oneLine(r.Error)
	}
	if r.OwnBar > 0 {
		verdict += fmt.Sprintf(" (%.2f of its own)", r.OwnBar)
	}
	if r.Most > 0 {
		verdict += fmt.Sprintf(" (at most %.2f)", r.Most)
	}
	return fmt.Sprintf("| %s | %s %s | %s %s | %s | %s | %s | %s | %s | %s | %s |",
		r.Title, digits(r.PgBouncer), r.Unit, digits(r.Pgsignet), r.Unit, times(r.Ratio), times(r.Bar),
		micros(r.PgBouncerCPU), micros(r.PgsignetCPU), times(r.CPURatio), times(r.CPUBar), verdict)
}

// digits prints four digits that count, and never a power of ten.
func digits(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.4g", v)
}

// oneLine is the first 400 bytes of a text, fit for a cell of a table.
func oneLine(text string) string {
	text = strings.NewReplacer("\n", " ", "|", "/").Replace(text)
	return strings.ToValidUTF8(text[:min(len(text), 400)], "")
}

func times(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f ×", v)
}

func micros(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f µs", v)
}

// report is what -json writes.
type report struct {
	Date     time.Time
	Go       string
	Cores    int
	Versions []string
	Machine  string
	Seconds  int
	Rounds   int
	Rows     []*result
	Growth   []*growth
}
