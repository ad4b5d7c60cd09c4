package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Refusals that anybody can cause fold per address, reason, certificate and second. Those of a proven
// identity do not.
func TestRefusalsFold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "audit")
		l := openTest(t, Config{Directory: dir})
		refuse := func(sid, addr, stage, reason, cert string) {
			r := &Record{Event: SessionDenied, SID: sid, Client: &Client{Addr: addr}, Denial: &Denial{Stage: stage, Reason: reason}}
			if cert != "" {
				r.Cert = &Cert{SHA256: cert}
			}
			if err := l.Append(r); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			refuse(fmt.Sprint("a", i), fmt.Sprintf("192.0.2.1:%d", i), "tls", "no_cert", "")
		}
		refuse("b", "192.0.2.2:1", "tls", "no_cert", "")
		refuse("c", "192.0.2.1:1", "startup", "protocol", "")
		refuse("d1", "192.0.2.1:1", "tls", "expired", "d1")
		refuse("d2", "192.0.2.1:1", "tls", "expired", "d2")
		for i := range 3 {
			refuse(fmt.Sprint("e", i), "192.0.2.1:1", "policy", "no_map", "e")
		}
		time.Sleep(1500 * time.Millisecond)
		refuse("f1", "192.0.2.1:1", "tls", "no_cert", "")
		refuse("f2", "192.0.2.1:1", "tls", "no_cert", "")
		refuse("f3", "192.0.2.1:1", "tls", "no_cert", "")
		if err := l.Close(); err != nil { // before their second is over
			t.Fatal(err)
		}
		var got []string
		for _, line := range readLines(t, dir) {
			var r struct {
				SID    string
				Denial *struct{ Count int }
			}
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatal(err)
			}
			if r.Denial != nil {
				got = append(got, fmt.Sprintf("%s×%d", r.SID, r.Denial.Count))
			}
		}
		want := []string{"a0×1", "b×1", "c×1", "d1×1", "d2×1", "e0×1", "e1×1", "e2×1", "a1×99", "f1×1", "f2×2"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		wantClean(t, dir)
	})
}

// However many addresses there are, only so many are remembered, and no refusal is dropped.
func TestFoldsAreBounded(t *testing.T) {
	var f folds
	written, count := 0, 0
	for i := range 3 * maxFolds {
		r := &Record{Event: SessionDenied, Time: time.Unix(7, 0), Client: &Client{Addr: fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255)}, Denial: &Denial{Stage: "tls"}}
		for range 2 {
			if !f.takes(r) {
				written++
			}
		}
	}
	if len(f.open) > maxFolds {
		t.Errorf("%d keys, at most %d", len(f.open), maxFolds)
	}
	lines := f.due(time.Unix(8, 0))
	for _, r := range lines {
		count += r.Denial.Count
	}
	if written+count != 6*maxFolds || !f.next.IsZero() || len(f.open) != 0 {
		t.Errorf("%d written and %d counted of %d", written, count, 6*maxFolds)
	}
	if !bytes.Contains(encoded(newTestEncoder(t, 0), lines[0], 0), []byte(`"count":1`)) {
		t.Error("no count")
	}
}
