package compat

import (
	"fmt"
	"os"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/e2e"
)

// place is that of all tests, so that a driver's program is built once.
var place Place

func TestMain(m *testing.M) { os.Exit(inPlace(m)) }

func inPlace(m *testing.M) int {
	var err error
	if place.Source, err = os.Getwd(); err == nil {
		place.Work, err = os.MkdirTemp("", "compat-")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		return 1
	}
	defer os.RemoveAll(place.Work)
	return e2e.Main(m)
}
