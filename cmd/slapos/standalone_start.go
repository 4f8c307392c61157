// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/cloud"
)

type standaloneStartOptions struct {
	root             string
	port, partitions int // or cloud.Unset
	python           string
	open             bool     // the master asks nobody for a token
	given            []string // those of the three that are on the command line
}

func (o *standaloneStartOptions) flags() []cli.Flag {
	return []cli.Flag{
		rootFlag(&o.root),
		argv.WholeFlag(&o.port, "port", "`PORT` of the master, 0 for a free one (default: the one of the last start, or 5000, or else a free one)", "", 0, maxPort),
		argv.WholeFlag(&o.partitions, "partitions", "`NUMBER` of partitions (default: that of the last start, or 10)", "", 0, cloud.MaxPartitions),
		&cli.StringFlag{Name: "python", Destination: &o.python, Usage: "`PATH` of a Python that has zc.buildout"},
		&cli.BoolFlag{Name: "open-master", Destination: &o.open, Usage: "ask nobody for a token: every user of this machine may use the master, clients of slapos.core need no login"},
	}
}

func newStandaloneStartCommand(e *environment) *cli.Command {
	options := &standaloneStartOptions{port: cloud.Unset, partitions: cloud.Unset}
	return &cli.Command{
		Name:  "start",
		Usage: "start your own cloud: a master, an agent and their services",
		Description: `Creates a directory with everything needed, or continues with the existing one:
a master on this machine, partitions of this account, and an agent that
installs software when you supply it and deploys instances when you request
them. Changes nothing outside the directory and needs no root. Other users of
this machine are refused: the master asks for the token in DIRECTORY/etc/master-token,
which the commands of the cloud read by themselves.

A Python with zc.buildout builds releases. Unless --python names one, or
python3 has zc.buildout, an environment is made in the directory, from PyPI,
with versions that are known to work.

Exit codes: 0 it runs; 1 failed; 2 wrong usage.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			for _, name := range []string{"port", "partitions", "python", "open-master"} {
				if c.IsSet(name) {
					options.given = append(options.given, name)
				}
			}
			return runStandaloneStart(c.Context, e, options)
		},
	}
}

func runStandaloneStart(ctx context.Context, e *environment, options *standaloneStartOptions) error {
	c, err := e.openCloud(options.root)
	if err != nil {
		return err
	}
	if c.Runs(ctx) {
		if options.given != nil {
			return fmt.Errorf("the cloud in %s is running: stop it before you change --%s", c.Root(), options.given[0])
		}
		return e.printStarted(c)
	}
	if options.partitions != cloud.Unset {
		c.Settings.Partitions = options.partitions
	}
	if options.port != cloud.Unset {
		c.Settings.Port = options.port
	}
	c.Settings.TokenFile = ""
	if !options.open {
		c.Settings.TokenFile = c.OwnTokenFile()
	}
	if err := c.Start(ctx, e.expandUser(options.python)); err != nil {
		return cmp.Or(ctx.Err(), err) // children that Ctrl-C killed are no reason
	}
	return e.printStarted(c)
}

func (e *environment) printStarted(c *cloud.Cloud) error {
	option := ""
	if c.Root() != e.expandUser(standaloneRoot) {
		option = " --root " + cloud.ShellQuote(c.Root())
	}
	_, err := fmt.Fprintf(e.stdout, `Your cloud in %[1]s is running.

  master  %[2]s, panel %[2]s/panel/
  node    %[3]s, %[4]d partitions

  slapos standalone shell%[5]s     # then: slapos supply URL %[3]s; slapos request NAME URL
  slapos standalone status%[5]s
  slapos standalone stop%[5]s
`, c.Root(), c.MasterURL(), cloud.Computer, c.Settings.Partitions, option)
	return err
}
