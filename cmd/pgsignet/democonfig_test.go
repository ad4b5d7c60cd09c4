package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The demo and docker-compose.yml show the same policy: their maps are the same but for comments.
func TestDemoAndComposeShareAPolicy(t *testing.T) {
	text, err := os.ReadFile("../../deploy/compose/pgsignet.hcl")
	if err != nil {
		t.Fatal(err)
	}
	if demo, compose := mapsOf(demoConfig("localhost:5432")), mapsOf(string(text)); demo != compose || !strings.Contains(demo, "billing service") {
		t.Errorf("the demo has\n%s\ndeploy/compose/pgsignet.hcl has\n%s", demo, compose)
	}
}

// mapsOf is a configuration's maps, without comments and alignment.
func mapsOf(config string) string {
	config = regexp.MustCompile(`\s+#.*`).ReplaceAllString(config, "")
	maps := regexp.MustCompile(`(?ms)^map .*?^}`).FindAllString(config, -1)
	return regexp.MustCompile(`[ \t]+`).ReplaceAllString(strings.Join(maps, "\n"), " ")
}
