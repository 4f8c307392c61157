// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/cloud"
	"slapos/cmd/slapos/pytext"
	"slapos/slap/serve"
)

const standaloneRoot = "~/.slapos/standalone"

// rootFlag is --root of all these commands.
func rootFlag(target *string) cli.Flag {
	return &cli.StringFlag{Name: "root", Destination: target, Usage: "`DIRECTORY` of the cloud (default: " + standaloneRoot + ")"}
}

// openCloud finds the cloud in a directory, which may not exist yet, and its
// settings.
func (e *environment) openCloud(root string) (*cloud.Cloud, error) {
	if e.uid == 0 {
		return nil, sentencef("This is for ordinary users: partitions would be root's, which the agent refuses. On a server, see slapos configure local.")
	}
	root, err := filepath.Abs(e.expandUser(cmp.Or(root, standaloneRoot)))
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(root); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("--root: %s is not a directory", root)
	}
	c, err := cloud.New(cloud.Options{Root: root, Executable: e.executable, Environ: e.environ, User: e.uid, Logger: e.log})
	if err != nil {
		return nil, err
	}
	return c, e.readCloudSettings(c)
}

// readCloudSettings takes those of the last start, if there was any.
func (e *environment) readCloudSettings(c *cloud.Cloud) error {
	err := e.withConfiguration(c.ConfigurationFile(), []string{"slapproxy", "slapformat"}, func(configuration *pytext.Configuration) error {
		return fillCloudSettings(configuration, &c.Settings)
	})
	if _, statErr := os.Stat(c.ConfigurationFile()); errors.Is(statErr, fs.ErrNotExist) {
		return nil
	}
	return err
}

func fillCloudSettings(configuration *pytext.Configuration, settings *cloud.Settings) (err error) {
	sections := map[string]map[string]string{}
	for _, name := range []string{"slapos", "slapproxy", "slapformat"} {
		if sections[name], err = configuration.Section(name); err != nil {
			return err
		}
	}
	// An empty host is none for the master, too.
	settings.Host, settings.Python = cmp.Or(sections["slapproxy"]["host"], settings.Host), sections["slapos"]["python"]
	settings.TokenFile = sections["slapos"]["master_token_file"]
	if settings.Host, err = serve.Host(settings.Host); err != nil {
		return err
	}
	if settings.Port, err = wholeOption(sections["slapproxy"], "port", cloud.Unset); err != nil {
		return err
	}
	amount := sections["slapformat"]["partition_amount"]
	if amount == "-1" { // the library writes that before it knows
		return nil
	}
	settings.Partitions, err = wholeOption(sections["slapformat"], "partition_amount", cloud.Unset)
	if err == nil && settings.Partitions > cloud.MaxPartitions {
		err = &valueError{key: "partition_amount", value: amount, want: "must be " + argv.WholeRange(0, cloud.MaxPartitions)}
	}
	return err
}

// requireRunning refuses to go on without the cloud.
func requireRunning(ctx context.Context, c *cloud.Cloud) error {
	if c.Runs(ctx) {
		return nil
	}
	return fmt.Errorf("nothing is running in %s: run slapos standalone start", c.Root())
}
