package e2e

import "testing"

// W65: a notification for a session whose LISTEN the broker could not see is dropped and counted; one that
// listens in the open gets it.
func TestW65NotificationsNobodyListensForAreCounted(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	b := w.Start(t, Options{Rules: ruled("transaction", ""), Admin: httpOn})
	c := b.login(t, w.Client("alice"), "alice")
	notified := func(sql string) (got bool) {
		t.Helper()
		c.Send(Query(sql))
		for {
			m, err := c.Read1()
			if err != nil {
				t.Fatal(err)
			}
			switch m.Type {
			case 'A':
				got = true
			case 'Z':
				return got
			}
		}
	}
	const dropped = `pgsignet_notifications_dropped_total{upstream="pg"}`
	for _, sql := range []string{"begin", "do $$ begin execute 'listen hidden'; end $$", "notify hidden"} {
		notified(sql)
	}
	if notified("commit") {
		t.Error("a client that did not listen was notified")
	}
	if n := b.metrics(t)[dropped]; n != "1" {
		t.Errorf("%s %s, want 1", dropped, n)
	}
	notified("listen seen")
	if !notified("notify seen") {
		t.Error("a client that listens was not notified")
	}
	if n := b.metrics(t)[dropped]; n != "1" {
		t.Errorf("%s %s after one that is listened for, want 1", dropped, n)
	}
}
