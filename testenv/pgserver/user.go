package pgserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	osuser "os/user"
	"strconv"
	"syscall"
)

// account is whom the server runs as. PostgreSQL refuses root and users without a passwd entry.
type account struct {
	name     string
	uid, gid int
	drop     bool // we are root: children change to this user
}

// serverAccount is the caller itself, or, for root, `postgres`, else `nobody`.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := osuser.Lookup(name)
		if err != nil {
			continue
		}
		return parseAccount(u)
	}
	return account{}, errors.New("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")
}

func parseAccount(u *osuser.User) (account, error) {
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return account{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return account{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	return account{name: u.Username, uid: uid, gid: gid, drop: true}, nil
}

// apply makes cmd run as the account, in a session of its own, so that a Ctrl-C at the terminal
// reaches our process alone and we decide how the server ends.
func (a account) apply(cmd *exec.Cmd) {
	attr := &syscall.SysProcAttr{Setsid: true}
	if a.drop {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid), Groups: []uint32{}}
	}
	cmd.SysProcAttr = attr
}

func (a account) own(path string) error {
	if !a.drop {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

func (a account) mkdir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return a.own(path)
}

// writeFile replaces a file as one step, so that a reloading server never reads half of it.
func (a account) writeFile(path string, data []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	if err := a.own(next); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// environment is what the server's programs get: nothing that could redirect them (PG*, LC_*).
func (a account) environment(home string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "HOME=" + home}
}
