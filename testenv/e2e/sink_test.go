package e2e

import (
	"bufio"
	"context"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// The record is copied to PostgreSQL and syslog while the broker serves, and a sink that cannot be
// reached holds up nobody.
func TestSinks(t *testing.T) {
	w := Shared(t)
	collector, err := net.Listen("unix", filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer collector.Close()
	var mu sync.Mutex
	var messages []string
	go func() {
		for {
			conn, err := collector.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			for {
				size, err := r.ReadString(' ')
				if err != nil {
					conn.Close()
					break
				}
				n, _ := strconv.Atoi(strings.TrimSpace(size))
				text := make([]byte, n)
				for i := 0; i < n; {
					m, err := r.Read(text[i:])
					if err != nil {
						return
					}
					i += m
				}
				mu.Lock()
				messages = append(messages, string(text))
				mu.Unlock()
			}
		}
	}()
	b := w.Start(t, Options{
		Rules: people, Admin: httpOn, Files: map[string]string{"dsn": w.PG.SuperuserDSN("stock")},
		Audit: `sink "postgres" {
			dsn_file = "dsn"
			table    = "pgsignet_audit"
		}
		sink "syslog" { address = "unix://` + collector.Addr().String() + `" }
		sink "syslog" { address = "tcp://localhost:1" }`,
	})
	c := b.Connect(t, w.Client("app"), "app", "orders")
	one[string](t, c, "select 'to be copied'")
	Poll(t, "the syslog collector to have the statement", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(strings.Join(messages, "\n"), "to be copied")
	})
	target, err := pgx.Connect(context.Background(), w.PG.SuperuserDSN("stock"))
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close(context.Background())
	Poll(t, "PostgreSQL to have the statement", func() bool {
		var n int
		err := target.QueryRow(context.Background(), "select count(*) from pgsignet_audit where event = 'statement' and line like '%to be copied%'").Scan(&n)
		return err == nil && n == 1
	})
	Poll(t, "the metrics to tell", func() bool {
		got := b.metrics(t)
		return got[`pgsignet_audit_sink_healthy{sink="postgres"}`] == "1" && got[`pgsignet_audit_sink_healthy{sink="syslog-2"}`] == "0"
	})
	b.waitFor(t, "audit sink fails")
	c.Close(context.Background())
	b.Signal(15)
	b.Wait(StopLimit)
	copied := func() (n int) {
		if err := target.QueryRow(context.Background(), "select count(*) from pgsignet_audit").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	lines, late := len(b.readRecords("")), `"audit sink has not taken the last lines","sink":"postgres"`
	if n := copied(); n != lines && !strings.Contains(b.Output(), late) {
		t.Errorf("PostgreSQL has %d of %d lines", n, lines)
	}
	next := w.StartConfig(t, filepath.Join(b.Dir, "pgsignet.hcl")) // it goes on where the first has ended
	Poll(t, "PostgreSQL to have every line once", func() bool { return copied() == len(next.readRecords("")) })
}
