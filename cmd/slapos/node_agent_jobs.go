// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"slapos/cmd/slapos/pytext"
)

// jobGrace is how long a command may take to end when the agent stops.
const jobGrace = 30 * time.Second

// commandJob runs a command of the node. It is a process of its own: the memory that it
// takes for some moments isn't the agent's.
func (e *environment) commandJob(configuration *pytext.Configuration, name string) func(context.Context) error {
	return func(ctx context.Context) error {
		path, err := filepath.Abs(configuration.Path())
		if err != nil {
			return err
		}
		var output bytes.Buffer
		command := exec.CommandContext(ctx, e.executable, "--quiet", "node", name, "--cfg", path)
		command.Env = e.environ
		command.Stdout, command.Stderr = &output, &output
		command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
		command.WaitDelay = jobGrace
		if err := command.Run(); err != nil {
			lines := strings.Split(strings.TrimSpace(output.String()), "\n")
			return errors.New(strings.TrimSpace(fmt.Sprintf("slapos node %s: %v: %s", name, err, lines[len(lines)-1])))
		}
		return nil
	}
}

// monotonic is the time that systemd compares reloads with.
func monotonic() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return 0
	}
	return time.Duration(now.Nano())
}
