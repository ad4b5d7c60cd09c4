package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsignet/pgsignet/broker/config"
)

func newHealthcheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running broker whether it serves new logins",
		Long: `Healthcheck asks /readyz at admin.address and prints what it says. It is what a
container's HEALTHCHECK runs. With TLS on that address it asks the admin socket instead.

Status 0: ready; 1: not, or no answer.`,
		Args: noArgs,
	}
	flags := addConfigFlags(cmd)
	timeout := cmd.Flags().Duration("timeout", 3*time.Second, "how long to wait for the answer")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *timeout <= 0 {
			return &exitError{code: exitUsage, err: fmt.Errorf("--timeout is above 0, not %s", *timeout)}
		}
		cfg, err := loadForUse(flags, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		return healthcheck(ctx, cfg, cmd.OutOrStdout())
	}
	return cmd
}

// healthcheck prints the checks and fails unless all of them hold.
func healthcheck(ctx context.Context, cfg *config.Config, out io.Writer) error {
	switch a := cfg.Admin; {
	case a.Address != "" && a.CertFile == "":
		return askReady(ctx, "http://"+a.Address+"/readyz?verbose", out)
	case a.Socket != "":
		return askSocket(ctx, a.Socket, out)
	}
	return errors.New("neither an admin address without TLS nor an admin socket is configured")
}

func askReady(ctx context.Context, url string, out io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return err
	}
	fmt.Fprint(out, string(text))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", strings.ToLower(http.StatusText(response.StatusCode)))
	}
	return nil
}
