package deb

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is a Debian system to change at will: an overlay over a folder, this machine's own files or the
// one that PGSIGNET_TEST_ROOT names, in a mount namespace of its own that ends with the test.
type root struct {
	keeper *exec.Cmd // holds the namespace until its standard input closes
	enter  []string  // nsenter's options that lead there
	inside string    // the overlay's path in the namespace
	outer  string    // the same, for this process
}

// mounts prepares the namespace. tmpfs holds what changes: an overlay cannot write below itself.
const mounts = `set -e
mount --make-rprivate /
mount -t tmpfs -o size=512m overlay "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
mount --rbind /dev "$1/root/dev"
mount -t proc proc "$1/root/proc"
mount -t tmpfs -o mode=755 run "$1/root/run"
echo ready
exec cat`

// newRoot makes a root, or skips the test with the reason.
func newRoot(t *testing.T) *root {
	t.Helper()
	base := needRoot(t, "dpkg", "unshare", "nsenter", "chroot", "setpriv", "useradd")
	dir := t.TempDir()
	r := &root{inside: filepath.Join(dir, "root")}
	r.start(t, exec.Command("unshare", "-m", "sh", "-c", mounts, "sh", dir, base))
	r.enter = []string{"-m", "-t", fmt.Sprint(r.keeper.Process.Pid)}
	r.outer = fmt.Sprintf("/proc/%d/root%s", r.keeper.Process.Pid, r.inside)
	return r
}

// needRoot skips the test where there can be no root of its own, and returns the folder below it.
func needRoot(t *testing.T, tools ...string) (base string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("did not run: a chroot needs root")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("did not run: no %s here", tool)
		}
	}
	if base = os.Getenv("PGSIGNET_TEST_ROOT"); base == "" {
		base = "/"
	}
	return base
}

// start runs what keeps the root: it says ready, and ends with its standard input or the test.
func (r *root) start(t *testing.T, keeper *exec.Cmd) {
	t.Helper()
	r.keeper = keeper
	stdin, err := r.keeper.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := r.keeper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	r.keeper.Stderr = &said
	if err := r.keeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		r.keeper.Wait()
	})
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		stdin.Close()
		r.keeper.Wait()
		t.Skipf("did not run: no system in namespaces of its own: %s", strings.TrimSpace(said.String()))
	}
}

// path is a file of the root as this process sees it.
func (r *root) path(name string) string { return filepath.Join(r.outer, name) }

// command is one that runs inside.
func (r *root) command(args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", slices.Concat(r.enter, []string{"chroot", r.inside}, args)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

// run runs a command inside and returns what it printed; it must succeed.
func (r *root) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := r.command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// has says whether there is such a file inside.
func (r *root) has(name string) bool {
	_, err := os.Lstat(r.path(name))
	return err == nil
}
