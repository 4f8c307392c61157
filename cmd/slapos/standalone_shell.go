// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"slapos/cmd/slapos/argv"

	"github.com/urfave/cli/v2"
)

func newStandaloneShellCommand(e *environment) *cli.Command {
	return &cli.Command{
		Name:      "shell",
		Usage:     "start a shell in which slapos speaks with your cloud",
		ArgsUsage: argv.PassThrough,
		Description: `Starts $SHELL, or runs a command instead, with an environment in which all slapos
commands use the configuration of the cloud:
slapos standalone shell slapos request NAME URL.

Exit codes: those of the shell or the command; 1 nothing runs, or it can't be started.`,
		Flags: []cli.Flag{rootFlag()},
		Action: func(c *cli.Context) error {
			s, err := e.newStandalone(c)
			if err != nil {
				return err
			}
			if err := s.requireRunning(c.Context); err != nil {
				return err
			}
			words := c.Args().Slice()
			if len(words) == 0 {
				words = []string{cmp.Or(e.getenv("SHELL"), "/bin/sh")}
			}
			return s.become(words)
		},
	}
}

// become replaces this process by a command in the environment of the cloud.
func (s *standaloneCloud) become(words []string) error {
	search := s.path("bin") + string(os.PathListSeparator) + s.e.getenv("PATH")
	environ := slices.DeleteFunc(slices.Clone(s.e.environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return name == "PATH" || name == "SLAPOS_CONFIGURATION" || name == "SLAPOS_CLIENT_CONFIGURATION"
	})
	environ = append(environ, "PATH="+search,
		"SLAPOS_CONFIGURATION="+s.configurationFile(), "SLAPOS_CLIENT_CONFIGURATION="+s.configurationFile())
	if err := os.Setenv("PATH", search); err != nil {
		return err
	}
	path, err := exec.LookPath(words[0])
	if err != nil {
		return err
	}
	return &os.PathError{Op: "start", Path: path, Err: syscall.Exec(path, words, environ)}
}
