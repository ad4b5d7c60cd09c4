package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/pgsignet/pgsignet/broker/config"
	"github.com/pgsignet/pgsignet/broker/stamp"
)

func newSQLCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sql",
		Short: "Print SQL for PostgreSQL",
		Args:  noArgs,
	}
	cmd.AddCommand(newSQLIdentityCommand())
	return cmd
}

func newSQLIdentityCommand() *cobra.Command {
	var database string
	cmd := &cobra.Command{
		Use:   "identity",
		Short: "Print the function that proves identities to row-level security",
		Long: `Identity prints the SQL that makes pgsignet.identity() in a database. A superuser runs it:

    pgsignet sql identity --database orders | psql orders

With --database it also adds the identity_key of that database block to the key table. That
part of the output is a secret: do not keep it. Without --database no configuration is read.`,
		Args: noArgs,
	}
	flags := addConfigFlags(cmd)
	cmd.Flags().StringVar(&database, "database", "", "add the key of this `DATABASE` block")
	completeNames(cmd, flags, "database", databasesNamed)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		insert := ""
		if database != "" {
			cfg, err := loadForUse(flags, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			key, err := databaseKey(cfg, database)
			if err != nil {
				return err
			}
			insert = "\n" + key.Insert()
		}
		_, err := io.WriteString(cmd.OutOrStdout(), stamp.DDL()+insert)
		return err
	}
	return cmd
}

// databaseKey loads the identity key of a database block.
func databaseKey(cfg *config.Config, name string) (*stamp.Key, error) {
	for _, d := range cfg.Databases {
		switch {
		case d.Name != name:
		case d.IdentityKey == "":
			return nil, fmt.Errorf("database %q has no identity_key", name)
		default:
			return loadIdentityKey(d.IdentityKey)
		}
	}
	return nil, &exitError{code: exitUsage, err: errors.New("there is no database block " + name)}
}

// loadIdentityKey reads a key file; white space around the secret is not part of it.
func loadIdentityKey(path string) (*stamp.Key, error) {
	secret, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := stamp.NewKey(bytes.TrimSpace(secret))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}
