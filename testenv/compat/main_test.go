package compat

import (
	"os"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/e2e"
)

func TestMain(m *testing.M) { os.Exit(e2e.Main(m)) }
