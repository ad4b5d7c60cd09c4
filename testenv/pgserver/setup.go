package pgserver

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Setup makes a machine ready for tests that start PostgreSQL: any version of 15 or later (Debian's
// package if there is none yet and it may install one, else npm's), and 16 to 18 from npm. What is
// already there is left alone. It writes to out what it does, and its error says what a person has
// to do instead.
func Setup(ctx context.Context, out io.Writer) error {
	if os.Getenv("PGSIGNET_TEST_DSN") != "" {
		fmt.Fprintln(out, "PGSIGNET_TEST_DSN is set: no PostgreSQL is installed")
		return nil
	}
	if findInstalled(ctx, 0, directories) == nil {
		if err := installDebian(ctx, out); err != nil {
			fmt.Fprintf(out, "%v; trying npm\n", err)
		}
	}
	npmErr := setupNPM(ctx, out)
	inst := findInstalled(ctx, 0, directories)
	if inst == nil {
		return fmt.Errorf("%w (npm: %v)", notFound(0), npmErr)
	}
	fmt.Fprintf(out, "%s\n", inst)
	if npmErr != nil {
		return fmt.Errorf("PostgreSQL 16, 17 and 18 are missing, which some tests ask for: %w", npmErr)
	}
	return nil
}

// installDebian installs the release's own version; Debian 12 has 15, later ones have a later one.
func installDebian(ctx context.Context, out io.Writer) error {
	name := "postgresql-15"
	if exec.CommandContext(ctx, "apt-cache", "show", name).Run() != nil {
		name = "postgresql"
	}
	return AptInstall(ctx, out, name)
}

func setupNPM(ctx context.Context, out io.Writer) error {
	for _, major := range npmMajors {
		if findInstalled(ctx, major, directories) == nil {
			return fetchNPM(ctx, out)
		}
	}
	return nil
}

func fetchNPM(ctx context.Context, out io.Writer) error {
	if _, err := exec.LookPath("npm"); err != nil {
		if err := AptInstall(ctx, out, "npm"); err != nil {
			return fmt.Errorf("npm is not installed: %w", err)
		}
	}
	return InstallNPM(ctx, out)
}
