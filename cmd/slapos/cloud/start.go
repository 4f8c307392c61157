// SPDX-License-Identifier: GPL-3.0-or-later

package cloud

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"slapos/grid/buildout"
	"slapos/grid/supervisor"
	"slapos/slap/serve"
)

// pins are the requirements of a cloud's Python environment: versions that work
// together, not the newest of the day.
//
//go:embed requirements.txt
var pins []byte

// Start starts what is not running yet: it chooses what [Settings] leave open,
// makes the directory, and returns when the master answers and has its partitions.
// Python is one with zc.buildout; "" finds or makes one.
func (c *Cloud) Start(ctx context.Context, python string) error {
	if c.Settings.Partitions == Unset {
		c.Settings.Partitions = defaultPartitions
	}
	if err := c.keepInstances(ctx); err != nil {
		return err
	}
	if err := c.choosePort(); err != nil {
		return err
	}
	if err := os.MkdirAll(c.options.Root, 0o750); err != nil {
		return err
	}
	if err := c.findPython(ctx, python); err != nil {
		return err
	}
	if err := c.WriteFiles(); err != nil {
		return err
	}
	watchdog := supervisor.Watchdog{
		Executable: c.options.Executable, MasterURL: c.MasterURL(), ComputerID: Computer, InstanceRoot: c.Path("inst"),
		TokenFile: c.Settings.TokenFile,
	}
	if err := supervisor.WriteConfiguration(c.services(), watchdog.Command()); err != nil {
		return err
	}
	arguments := []string{"supervisord", "-c", c.Path("etc/supervisord.conf"), "--background"}
	if err := supervisor.Detach(ctx, c.options.Executable, arguments, c.options.Environ); err != nil {
		return err
	}
	if err := c.waitForMaster(ctx); err != nil {
		return err
	}
	return c.format(ctx)
}

// choosePort finds a free port, or checks that the wanted one is free: another
// server on it would be mistaken for the master.
func (c *Cloud) choosePort() error {
	port := c.Settings.Port
	if port == Unset {
		port = DefaultPort
	}
	listener, err := net.Listen(serve.Network(c.Settings.Host), net.JoinHostPort(c.Settings.Host, strconv.Itoa(port)))
	switch {
	case err != nil && c.Settings.Port != Unset:
		return fmt.Errorf("the master can't use port %d, choose another with --port: %w", c.Settings.Port, err)
	case err != nil:
		if listener, err = net.Listen(serve.Network(c.Settings.Host), net.JoinHostPort(c.Settings.Host, "0")); err != nil {
			return err
		}
	}
	c.Settings.Port = listener.Addr().(*net.TCPAddr).Port
	return listener.Close()
}

// findPython finds or makes the Python that builds releases (D-2).
func (c *Cloud) findPython(ctx context.Context, given string) error {
	if given != "" {
		path, err := exec.LookPath(given)
		if err == nil {
			path, err = filepath.Abs(path)
		}
		if err != nil {
			return fmt.Errorf("--python: %w", err)
		}
		if !hasBuildout(ctx, path) {
			return fmt.Errorf("%[1]s has no zc.buildout: %[1]s -m pip install %[2]s", path, buildout.Packages)
		}
		c.Settings.Python = path
		return nil
	}
	own := c.Path("python/bin/python")
	for _, candidate := range []string{c.Settings.Python, own, "python3"} {
		if path, err := exec.LookPath(candidate); err == nil && hasBuildout(ctx, path) {
			c.Settings.Python, err = filepath.Abs(path)
			return err
		}
	}
	if err := c.makePython(ctx, own); err != nil {
		return err
	}
	c.Settings.Python = own
	return nil
}

// makePython makes a Python environment with zc.buildout.
func (c *Cloud) makePython(ctx context.Context, own string) error {
	python, err := exec.LookPath("python3")
	if err != nil {
		return errors.New("no Python 3 to build releases with: install python3 with venv, or name one with --python")
	}
	if exec.CommandContext(ctx, python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))").Run() != nil {
		return fmt.Errorf("%s is older than Python 3.11: install a newer python3 with venv, or name a Python with zc.buildout with --python", python)
	}
	c.options.Logger.Info("Making a Python environment with zc.buildout in " + c.Path("python") + "...")
	requirements := c.Path("python/requirements.txt")
	if err := c.makePythonBy(ctx, python, "-m", "venv", c.Path("python")); err != nil {
		return err
	}
	if err := writeChanged(requirements, pins, 0o644); err != nil {
		return err
	}
	return c.makePythonBy(ctx, own, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--require-hashes", "-r", requirements)
}

func (c *Cloud) makePythonBy(ctx context.Context, python string, arguments ...string) error {
	output, err := exec.CommandContext(ctx, python, arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("can't make a Python environment with zc.buildout (%s: %s): name a Python that has it with --python",
			strings.Join(arguments[:2], " "), lastLineOf(string(output), err))
	}
	return nil
}

func hasBuildout(ctx context.Context, python string) bool {
	return exec.CommandContext(ctx, python, "-c", "import zc.buildout.buildout").Run() == nil
}

func lastLineOf(output string, err error) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return err.Error()
}

// format makes the partitions (CLI-103).
func (c *Cloud) format(ctx context.Context) error {
	command := exec.CommandContext(ctx, c.options.Executable, "node", "format", "--now", "--cfg", c.ConfigurationFile())
	command.Env = c.options.Environ
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("can't make the partitions: %s", lastLineOf(string(output), err))
	}
	return nil
}
