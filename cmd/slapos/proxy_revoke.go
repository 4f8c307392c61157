// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"slapos/proxy/store"
)

type proxyRevokeOptions struct{ configuration string }

func (o *proxyRevokeOptions) flags() []cli.Flag { return []cli.Flag{configFlag(&o.configuration)} }

func newProxyRevokeCommand(e *environment) *cli.Command {
	options := new(proxyRevokeOptions)
	return &cli.Command{
		Name:      "revoke",
		Usage:     "refuse a node or a user from now on",
		ArgsUsage: "NAME",
		Description: `Revokes all certificates and tokens of a node or a user, and the certificates of
the node's partitions. A master that runs refuses them within a second or two. What
the node has to run stays in the database, and its services go on; it may join
again by slapos proxy token node --name NAME.

Exit codes: 0 revoked; 1 failed, or nobody has this name; 2 wrong usage.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runProxyRevoke(c.Context, e, c.Args().First(), *options)
		},
	}
}

func runProxyRevoke(ctx context.Context, e *environment, name string, options proxyRevokeOptions) error {
	return e.withAccess(ctx, options.configuration, func(_ map[string]string, database *store.Database) error {
		count, err := database.Revoke(ctx, name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("there is no certificate or token of %.64q: slapos proxy token list lists them", name)
		case err != nil:
			return err
		case count == 0:
			e.log.Info("What " + name + " had was revoked already, or has expired.")
		default:
			e.log.Info(fmt.Sprintf("%s is revoked: %d certificates and tokens.", name, count))
		}
		return nil
	})
}
