// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/cloud"
)

func newStandaloneShellCommand(e *environment) *cli.Command {
	var root string
	return &cli.Command{
		Name:      "shell",
		Usage:     "start a shell in which slapos talks to your cloud",
		ArgsUsage: argv.PassThrough,
		Description: `Starts $SHELL, or runs a command, in an environment where all slapos commands
use the configuration of the cloud, as in
slapos standalone shell slapos request NAME URL.

Exit codes: those of the shell or the command; 1 nothing runs, or it can't be
started.`,
		Flags: []cli.Flag{rootFlag(&root)},
		Action: func(c *cli.Context) error {
			return runStandaloneShell(c.Context, e, root, c.Args().Slice())
		},
	}
}

func runStandaloneShell(ctx context.Context, e *environment, root string, words []string) error {
	c, err := e.openCloud(root)
	if err != nil {
		return err
	}
	if err := requireRunning(ctx, c); err != nil {
		return err
	}
	if len(words) == 0 {
		words = []string{cmp.Or(e.getenv("SHELL"), "/bin/sh")}
	}
	return e.become(c, words)
}

// become replaces this process with a command in the environment of the cloud.
func (e *environment) become(c *cloud.Cloud, words []string) error {
	search := c.Path("bin") + string(os.PathListSeparator) + e.getenv("PATH")
	environ := slices.DeleteFunc(slices.Clone(e.environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return name == "PATH" || name == "SLAPOS_CONFIGURATION" || name == "SLAPOS_CLIENT_CONFIGURATION"
	})
	environ = append(environ, "PATH="+search,
		"SLAPOS_CONFIGURATION="+c.ConfigurationFile(), "SLAPOS_CLIENT_CONFIGURATION="+c.ConfigurationFile())
	if err := os.Setenv("PATH", search); err != nil {
		return err
	}
	path, err := exec.LookPath(words[0])
	if err != nil {
		return err
	}
	return &os.PathError{Op: "start", Path: path, Err: syscall.Exec(path, words, environ)}
}
