package pgserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// dockerImages are tried in this order; only an image that the engine already holds is used.
func dockerImages(major int) []string {
	majors := []int{18, 17, 16, 15}
	if major != 0 {
		majors = []int{major}
	}
	var images []string
	for _, m := range majors {
		images = append(images, fmt.Sprintf("postgres:%d", m), fmt.Sprintf("postgres:%d-alpine", m))
	}
	if major == 0 {
		images = append(images, "postgres:latest")
	}
	return images
}

// fromDocker finds an image, if an engine answers. It works on Linux alone, where a container can
// share our network, and a folder with a unix socket in it.
func fromDocker(ctx context.Context, major int) *Installation {
	if runtime.GOOS != "linux" {
		return nil
	}
	if _, err := exec.LookPath("docker"); err != nil {
		return nil
	}
	for _, image := range dockerImages(major) {
		if exec.CommandContext(ctx, "docker", "image", "inspect", image).Run() != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, "docker", "run", "--rm", "--network=none", "--entrypoint=postgres", image, "--version").Output()
		if err != nil {
			continue
		}
		inst, err := parseVersion(string(out), "", "docker")
		if err == nil && matches(inst, major) {
			inst.Image = image
			return inst
		}
	}
	return nil
}

// containerFile holds the name of the server's container, for the guard.
const containerFile = "container"

// container is the name of the container the server runs in.
func (s *Server) container() string { return filepath.Base(s.dir) }

// dockerCommand runs a program of the image as the server's user, with our network and the server's
// folder, so that files, socket and port are where they are without docker. The client passes signals
// on. initdb wants its user in /etc/passwd.
func (s *Server) dockerCommand(ctx context.Context, program string, args ...string) *exec.Cmd {
	docker := []string{
		"run", "--rm", "--network=host", "--pull=never",
		fmt.Sprintf("--user=%d:%d", s.user.uid, s.user.gid),
		"--volume=/etc/passwd:/etc/passwd:ro", "--volume=" + s.dir + ":" + s.dir, "--workdir=" + s.dir,
		"--entrypoint=" + program,
	}
	for _, v := range s.user.environment(s.dir) {
		if !strings.HasPrefix(v, "PATH=") { // the image's own
			docker = append(docker, "--env="+v)
		}
	}
	if program == "postgres" {
		docker = append(docker, "--name="+s.container())
	}
	cmd := exec.CommandContext(ctx, "docker", slices.Concat(docker, []string{s.Install.Image}, args)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// nameContainer leaves the name where the guard looks for it.
func (s *Server) nameContainer() error {
	if s.Install.Image == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(s.dir, containerFile), []byte(s.container()), 0o600)
}

// killContainer ends a container at once, with all its processes; the client cannot pass SIGKILL on.
func (s *Server) killContainer() {
	_ = exec.Command("docker", "kill", s.container()).Run() // it may just have ended
}
