package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// newCAExampleCommand makes the certificates that the demo and docker-compose.yml use.
func newCAExampleCommand(where *caFlags) *cobra.Command {
	var hosts []string
	cmd := &cobra.Command{
		Use:   "example",
		Short: "Make all the certificates of an example set-up",
		Long: `Make all the certificates of an example set-up: CAs for clients, servers and the broker's own
logins; server and postgres for the two servers; broker; and alice, bob and billing for
clients. When the directory holds them already, nothing is changed.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			last := filepath.Join(where.dir, "billing.crt")
			if _, err := os.Stat(last); err == nil {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is complete\n", where.dir)
				return err
			}
			if _, err := newDemoPKI(where.dir, hosts...); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "Made the certificates of the example in %s\n", where.dir)
			return err
		},
	}
	cmd.Flags().StringArrayVar(&hosts, "host", nil, "`NAME` of the servers, beside localhost; may be repeated")
	return cmd
}
