package deb

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// root is a Debian system to change at will: an overlay over a folder, this machine's own files or the
// one that PGSIGNET_TEST_ROOT names, in a mount namespace of its own that ends with the test.
type root struct {
	keeper *exec.Cmd // holds the namespace until its standard input closes
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
	if os.Geteuid() != 0 {
		t.Skip("did not run: a chroot needs root")
	}
	for _, tool := range []string{"dpkg", "unshare", "nsenter", "chroot", "setpriv", "useradd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("did not run: no %s here", tool)
		}
	}
	base := os.Getenv("PGSIGNET_TEST_ROOT")
	if base == "" {
		base = "/"
	}
	dir := t.TempDir()
	r := &root{keeper: exec.Command("unshare", "-m", "sh", "-c", mounts, "sh", dir, base), inside: filepath.Join(dir, "root")}
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
		r.keeper.Wait()
		t.Skipf("did not run: no overlay over %s in a mount namespace: %s", base, strings.TrimSpace(said.String()))
	}
	r.outer = fmt.Sprintf("/proc/%d/root%s", r.keeper.Process.Pid, r.inside)
	return r
}

// path is a file of the root as this process sees it.
func (r *root) path(name string) string { return filepath.Join(r.outer, name) }

// command is one that runs inside.
func (r *root) command(args ...string) *exec.Cmd {
	args = append([]string{"-m", "-t", fmt.Sprint(r.keeper.Process.Pid), "chroot", r.inside}, args...)
	cmd := exec.Command("nsenter", args...)
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
