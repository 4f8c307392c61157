// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/grid/supervisor"
	"slapos/slap"
)

type watchdogOptions struct {
	masterURL, computerID string
	certificates          string // directory
	instanceRoot          string
	masterCAFile          string
	masterInsecure        bool
	masterTokenFile       string
}

func (o *watchdogOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "master-url", Destination: &o.masterURL, Usage: "`URL` of the master (required)"},
		&cli.StringFlag{Name: "computer-id", Destination: &o.computerID, Usage: "`REFERENCE` of this computer (required)"},
		&cli.StringFlag{Name: "certificate-repository-path", Destination: &o.certificates, Usage: "`DIRECTORY` of the partitions' certificates"},
		&cli.StringFlag{Name: "instance-root-path", Destination: &o.instanceRoot, Usage: "`DIRECTORY` of the partitions"},
		&cli.StringFlag{Name: "master-ca-file", Destination: &o.masterCAFile, Usage: "`FILE` of the authority that the master is verified against"},
		&cli.StringFlag{Name: "master-token-file", Destination: &o.masterTokenFile, Usage: "`FILE` with the token that the master asks for"},
		&cli.BoolFlag{Name: "master-insecure", Destination: &o.masterInsecure, Usage: "do not verify the master"},
	}
}

// newWatchdogCommand is the program slapos-watchdog, which the supervisor runs
// (CLI-79, D-19).
func newWatchdogCommand(e *environment) *cli.Command {
	options := new(watchdogOptions)
	return &cli.Command{
		Name:   "watchdog",
		Usage:  "tell the master when a watched service ends",
		Hidden: true,
		Description: `Listens to the supervisor, which starts it under the name slapos-watchdog. When
a process whose name ends in -on-watch ends, the master is told to have its
partition processed again; once for each deployment.

Exit codes: 0 the supervisor went away; 1 failed.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			switch {
			case options.masterURL == "":
				return argv.UsageErrorf("the following arguments are required: --master-url")
			case options.computerID == "":
				return argv.UsageErrorf("the following arguments are required: --computer-id")
			}
			return runWatchdog(c.Context, e, *options)
		},
	}
}

func runWatchdog(ctx context.Context, e *environment, options watchdogOptions) error {
	ended := make(chan error, 1)
	go func() { // owns standard input; left behind if ctx ends while it reads
		ended <- supervisor.Watch(ctx, supervisor.WatchOptions{
			InstanceRoot: options.instanceRoot,
			In:           e.stdin,
			Out:          e.stdout,
			Logger:       e.log,
			Bang: func(ctx context.Context, partition, message string) error {
				return options.bang(ctx, e, partition, message)
			},
		})
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done(): // a read of standard input can't be interrupted
		return nil
	}
}

// bang speaks to the master as the partition, with its certificate.
func (o watchdogOptions) bang(ctx context.Context, e *environment, partition, message string) error {
	config := slap.ClientConfig{
		MasterURL: o.masterURL, CAFile: o.masterCAFile, Insecure: o.masterInsecure, Home: e.getenv("HOME"), Logger: e.log,
	}
	if o.certificates != "" {
		config.CertFile = filepath.Join(o.certificates, partition+".crt")
		config.KeyFile = filepath.Join(o.certificates, partition+".key")
	}
	var err error
	if config.Token, err = slap.ReadToken(o.masterTokenFile); err != nil {
		return err
	}
	master, err := slap.NewClient(config)
	if err != nil {
		return err
	}
	defer func() { _ = master.Close() }()
	err = master.InstanceBang(ctx, slap.PartitionID{Computer: o.computerID, Partition: partition}, message)
	if errors.Is(err, slap.ErrNotFound) {
		e.log.Warn("the master doesn't know the partition", "partition", partition)
		return nil // repeating would not help
	}
	return err
}
