package e2e

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// lives is how many rounds TestRecordOfManyLives goes: PGSIGNET_LIVES, of which 105 have been seen to pass.
func lives(t *testing.T) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("PGSIGNET_LIVES"), "6"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// One directory through many lives of the broker, under load each time: killed, stopped, handed over to
// another process and then one of the two killed, with its settings reloaded and its segments full every few
// hundred lines, and too old after a second. Neither the next broker nor verify ever refuses it.
func TestRecordOfManyLives(t *testing.T) {
	t.Parallel()
	w := Shared(t)
	_, dir := runtimeDir(t)
	path := w.WriteConfig(t, Options{
		Rules: people, Pool: transactions(4), Top: dir,
		Audit: "level = \"statement\"\n delivery = \"best_effort\"\n segment_size = \"64KiB\"\n segment_age = \"1s\"",
	})
	leaf := w.Client("app")
	deliveries := [2]string{"best_effort", "strict"}
	var b *Broker
	for round := range lives(t) {
		if b != nil { // the next one starts with the other delivery
			b.EditConfig(t, deliveries[(round+1)%2], deliveries[round%2])
		}
		b = w.StartConfig(t, path)
		b.verify(t)
		switch round % 3 {
		case 0:
			b.killUnderLoad(t, leaf, round)
		case 1:
			b.askALot(t, leaf)
			b.EditConfig(t, `level = "statement"`, `level = "full"`)
			b.Reload(t)
			b.askALot(t, leaf)
			b.EditConfig(t, `level = "full"`, `level = "statement"`)
			b.cleanup() // SIGTERM
		case 2:
			b.askALot(t, leaf)
			next := b.upgrade(t)
			next.verify(t)
			next.killUnderLoad(t, leaf, round)
			b.cleanup()
			b = next
		}
		b.verify(t)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
}

// askALot writes some hundred lines into the record.
func (b *Broker) askALot(t *testing.T, leaf *pki.Leaf) {
	t.Helper()
	c := b.Connect(t, leaf, "app", "orders")
	defer c.Close(context.Background())
	for i := range 200 {
		if _, err := c.Exec(context.Background(), fmt.Sprintf("select %d", i)); err != nil {
			t.Fatal(err)
		}
	}
}
