package deb

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/docs"
	"github.com/pgsignet/pgsignet/testenv/e2e"
	"github.com/pgsignet/pgsignet/testenv/pgserver"
)

// launch starts a cgroup, a mount, a pid and further namespaces and, in them, bootMounts.
const launch = `set -e
cgroups=$(awk '$(NF-2) == "cgroup2" { print $5; exit }' /proc/self/mountinfo)
[ -n "$cgroups" ] || { echo "no cgroup2 is mounted" >&2; exit 1; }
own=$cgroups/pgsignet-test-$$
mkdir "$own"
trap 'for try in 1 2 3 4 5 6 7 8 9; do find "$own" -depth -type d -exec rmdir {} \; 2>/dev/null; [ -d "$own" ] || break; sleep 0.2; done' EXIT
(echo 0 > "$own/cgroup.procs"; exec unshare --mount --pid --fork --kill-child --cgroup --uts --ipc sh -c "$1" sh "$2" "$3") </dev/null &
cat > "$2/until-closed"
kill -9 $! 2>/dev/null
wait $! || :`

// bootMounts makes a root as mounts does, with what systemd wants of a container
// (https://systemd.io/CONTAINER_INTERFACE), and becomes it. The kernel's settings stay as they are.
const bootMounts = `set -e
mount --make-rprivate /
mount -t tmpfs -o size=512m overlay "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
cd "$1/root"
mount -t tmpfs -o mode=755 dev dev
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs shm dev/shm
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
rm -rf etc/systemd/system/*.wants
ln -sf /lib/systemd/system/multi-user.target etc/systemd/system/default.target
: > etc/fstab
: > etc/machine-id
for unit in systemd-logind systemd-sysctl systemd-modules-load systemd-timesyncd systemd-remount-fs; do ln -sf /dev/null etc/systemd/system/$unit.service; done
echo ready
exec chroot . env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system`

// boot makes a root where systemd is process 1, or skips the test with the reason.
func boot(t *testing.T) *root {
	t.Helper()
	base := needRoot(t, "dpkg", "unshare", "nsenter", "chroot", "useradd", "systemctl", "journalctl")
	if _, err := os.Stat(filepath.Join(base, "lib/systemd/systemd")); err != nil {
		t.Skipf("did not run: no systemd: %v", err)
	}
	dir := t.TempDir()
	r := &root{inside: filepath.Join(dir, "root")}
	r.start(t, exec.Command("sh", "-c", launch, "sh", bootMounts, dir, base))
	pid := ""
	e2e.Poll(t, "systemd", func() bool {
		pid = processOf(dir)
		return pid != ""
	})
	r.enter = []string{"-m", "-p", "-u", "-i", "-C", "-t", pid}
	r.outer = fmt.Sprintf("/proc/%s/root", pid)
	e2e.PollFor(t, time.Minute, "the system to have started", func() bool {
		out, _ := r.command("systemctl", "is-system-running").Output()
		state := strings.TrimSpace(string(out))
		return state == "running" || state == "degraded"
	})
	return r
}

// processOf finds the systemd whose root is below dir, by the pid that it has here.
func processOf(dir string) string {
	all, _ := filepath.Glob("/proc/[0-9]*/root")
	for _, link := range all {
		if to, err := os.Readlink(link); err == nil && to == filepath.Join(dir, "root") {
			pid := filepath.Base(filepath.Dir(link))
			if comm, _ := os.ReadFile("/proc/" + pid + "/comm"); string(comm) == "systemd\n" {
				return pid
			}
		}
	}
	return ""
}

// property is one of the service.
func (r *root) property(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(r.run(t, "systemctl", "show", "--value", "-p", name, "pgsignet.service"))
}

// said returns the last line of the service's log with that message, or nil.
func (r *root) said(t *testing.T, message string) (last map[string]any) {
	t.Helper()
	for line := range strings.Lines(r.run(t, "journalctl", "--no-pager", "-o", "cat", "-u", "pgsignet.service")) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
			last = fields
		}
	}
	return last
}

// port is where the service listens: it said so before systemctl start returned, or will soon.
func (r *root) port(t *testing.T) (port string) {
	t.Helper()
	e2e.Poll(t, "the port in the journal", func() bool {
		line := r.said(t, "listening")
		if line != nil {
			_, port, _ = net.SplitHostPort(line["address"].(string))
		}
		return line != nil
	})
	return port
}

func (r *root) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(r.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.path(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// alive says whether a session still answers.
func alive(t *testing.T, c *pgx.Conn) {
	t.Helper()
	if _, err := c.Exec(t.Context(), "select 1"); err != nil {
		t.Errorf("a session was hurt: %v", err)
	}
}

// The unit does under systemd what it says: readiness, sandbox, reload, upgrade, watchdog, status 78,
// socket activation, stop.
func TestServiceUnderSystemd(t *testing.T) {
	r := boot(t)
	r.run(t, "dpkg", "--install", r.copyIn(t))
	if state := r.property(t, "ActiveState"); state != "inactive" {
		t.Errorf("installed, the service is %s", state)
	}
	followInstall(t, r, func(n int) {
		if n == 1 {
			r.edit(t, fmt.Sprintf("localhost:%d", postgres(t, r).Port))
		}
	})
	config, err := os.ReadFile(r.path("/etc/pgsignet/pgsignet.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	r.followStart(t) // Type=notify: it returns when clients are served
	session := r.login(t, r.port(t))
	r.sandbox(t)

	r.run(t, "systemctl", "reload", "pgsignet")
	e2e.Poll(t, "the reload", func() bool { return r.said(t, "configuration reloaded") != nil })
	alive(t, session)

	r.upgrade(t, session)
	r.watchdog(t)

	r.write(t, "/etc/pgsignet/pgsignet.hcl", "nonsense {\n")
	if out, err := r.command("systemctl", "restart", "pgsignet").CombinedOutput(); err == nil {
		t.Errorf("a broken configuration was started: %s", out)
	}
	if state, status := r.property(t, "ActiveState"), r.property(t, "ExecMainStatus"); state != "failed" || status != "78" {
		t.Errorf("with a broken configuration the service is %s, status %s; want failed, 78 and no restart", state, status)
	}
	r.activation(t, string(config))
}

// followStart runs the commands of docs/install.md that start the service, but for a log without end.
func (r *root) followStart(t *testing.T) {
	t.Helper()
	all, err := docs.Read()
	if err != nil {
		t.Fatal(err)
	}
	here, n := strings.NewReplacer("sudo ", "", "journalctl -u pgsignet -f", "journalctl -u pgsignet --no-pager"), 0
	for _, d := range all {
		for _, b := range d.Blocks {
			if b.Is("sh", "systemd") {
				r.run(t, "sh", "-e", "-c", here.Replace(b.Text))
				n++
			}
		}
	}
	if n == 0 {
		t.Fatal("no document starts the service")
	}
}

// sandbox looks at the process that the unit has made.
func (r *root) sandbox(t *testing.T) {
	t.Helper()
	status := r.run(t, "cat", "/proc/"+r.property(t, "MainPID")+"/status")
	uid := strings.TrimSpace(r.run(t, "id", "-u", "pgsignet"))
	for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "Uid:\t" + uid + "\t" + uid} {
		if !strings.Contains(status, want) {
			t.Errorf("the process has no %q:\n%s", want, status)
		}
	}
	if out := r.run(t, "pgsignet", "sessions", "--json"); !strings.Contains(out, `"alice"`) {
		t.Errorf("root sees no session by the socket: %s", out)
	}
}

// upgrade has another process take over, as docs/install.md says.
func (r *root) upgrade(t *testing.T, session *pgx.Conn) {
	t.Helper()
	old := r.property(t, "MainPID")
	r.run(t, "systemctl", "kill", "-s", "USR2", "--kill-whom=main", "pgsignet")
	e2e.PollFor(t, 30*time.Second, "another main process", func() bool { return r.property(t, "MainPID") != old })
	alive(t, session)
	alive(t, r.login(t, r.port(t)))
	session.Close(t.Context())
	e2e.PollFor(t, 30*time.Second, "the old process to end", func() bool {
		return r.command("test", "-e", "/proc/"+old).Run() != nil
	})
	if state, n := r.property(t, "ActiveState"), r.property(t, "NRestarts"); state != "active" || n != "0" {
		t.Errorf("after the upgrade the service is %s, restarted %s times", state, n)
	}
}

// watchdog stops the process without a word: systemd ends it and starts another.
func (r *root) watchdog(t *testing.T) {
	t.Helper()
	r.write(t, "/etc/systemd/system/pgsignet.service.d/test.conf", "[Service]\nWatchdogSec=3\n")
	r.run(t, "systemctl", "daemon-reload")
	r.run(t, "systemctl", "restart", "pgsignet")
	r.run(t, "kill", "-STOP", r.property(t, "MainPID"))
	e2e.PollFor(t, time.Minute, "another process after the watchdog's time", func() bool {
		return r.property(t, "NRestarts") != "0" && r.property(t, "ActiveState") == "active"
	})
	alive(t, r.login(t, r.port(t)))
}

// activation has systemd listen, and start the service for the first client.
func (r *root) activation(t *testing.T, config string) {
	t.Helper()
	n, err := pgserver.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(n)
	r.write(t, "/etc/pgsignet/pgsignet.hcl", strings.Replace(config, `listener "main" {`, "listener \"main\" {\n  socket = \"pgsignet-main\"", 1))
	r.write(t, "/etc/systemd/system/pgsignet.socket.d/test.conf", "[Socket]\nListenStream=\nListenStream=127.0.0.1:"+port+"\n")
	r.run(t, "systemctl", "daemon-reload")
	r.run(t, "systemctl", "reset-failed", "pgsignet")
	r.run(t, "systemctl", "start", "pgsignet.socket")
	if state := r.property(t, "ActiveState"); state != "inactive" {
		t.Errorf("before the first client the service is %s", state)
	}
	alive(t, r.login(t, port))
	r.run(t, "systemctl", "stop", "pgsignet.socket", "pgsignet.service")
	if result, status := r.property(t, "Result"), r.property(t, "ExecMainStatus"); result != "success" || status != "0" {
		t.Errorf("stopped with %s, status %s", result, status)
	}
}
