package pgserver

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestDocker runs a server from an image, where an engine holds one.
func TestDocker(t *testing.T) {
	inst := fromDocker(t.Context(), 0)
	if inst == nil {
		t.Skip("DID NOT RUN: no docker engine that holds a postgres image")
	}
	s, err := prepare(inst, Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir, name := s.Dir(), s.container()
	if err := s.create(t.Context()); err != nil {
		t.Fatal(err, s.Close())
	}
	for _, mode := range []Mode{Fast, Immediate, Kill} {
		if err := s.Restart(t.Context(), mode); err != nil {
			t.Fatalf("mode %v: %v", mode, err)
		}
		got, err := s.QueryString(t.Context(), "SELECT current_user::text")
		if err != nil || got != Superuser {
			t.Errorf("mode %v: got %q, %v, want %q", mode, got, err, Superuser)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	out, err := exec.CommandContext(context.Background(), "docker", "ps", "-a", "--format={{.Names}}").Output()
	if err != nil || strings.Contains(string(out), name) {
		t.Errorf("containers are %q, %v, want none of ours", out, err)
	}
}

func TestDockerImages(t *testing.T) {
	if got := dockerImages(17); len(got) != 2 || got[0] != "postgres:17" {
		t.Errorf("images for 17 are %v", got)
	}
	if got := dockerImages(0); got[0] != "postgres:18" || got[len(got)-1] != "postgres:latest" {
		t.Errorf("images for any version are %v", got)
	}
}
