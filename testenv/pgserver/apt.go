package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrNoApt is wrapped by AptInstall where it may not or cannot install Debian packages. The error
// says what a person has to do.
var ErrNoApt = errors.New("cannot install Debian packages")

// AptInstall installs those of the packages that are missing. It updates the package lists only when
// the first attempt fails, as on a fresh container. Blocks while another apt runs.
func AptInstall(ctx context.Context, out io.Writer, packages ...string) error {
	missing := missingPackages(ctx, packages)
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("%w here (not Debian, or not root). Run: sudo apt-get install %s", ErrNoApt, strings.Join(missing, " "))
	}
	fmt.Fprintf(out, "installing Debian packages %s\n", strings.Join(missing, " "))
	restore, err := withoutMainCluster()
	if err != nil {
		return err
	}
	defer restore()
	if err := aptGet(ctx, out, append([]string{"install"}, missing...)...); err == nil {
		return nil
	}
	if err := aptGet(ctx, out, "update"); err != nil {
		fmt.Fprintf(out, "apt-get update: %v; going on\n", err) // one dead source must not stop the others
	}
	if err := aptGet(ctx, out, append([]string{"install"}, missing...)...); err != nil {
		return fmt.Errorf("%w: apt-get install %s: %w", ErrNoApt, strings.Join(missing, " "), err)
	}
	return nil
}

func missingPackages(ctx context.Context, packages []string) []string {
	var missing []string
	for _, name := range packages {
		out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f=${db:Status-Status}", name).Output()
		if err != nil || string(out) != "installed" {
			missing = append(missing, name)
		}
	}
	return missing
}

func aptGet(ctx context.Context, out io.Writer, args ...string) error {
	args = append([]string{"-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"}, args...)
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = out, out
	return cmd.Run()
}

// withoutMainCluster keeps Debian's PostgreSQL packages from creating and starting a server of their
// own while we install them. An administrator's settings are not touched.
func withoutMainCluster() (restore func(), err error) {
	const dir = "/etc/postgresql-common/createcluster.d"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "pgsignet-testenv.conf")
	if err := os.WriteFile(path, []byte("create_main_cluster = false\n"), 0o644); err != nil {
		return nil, err
	}
	return func() {
		_ = os.Remove(path)
		_ = os.Remove(dir) // stays when it holds somebody else's files
	}, nil
}
