// SPDX-License-Identifier: GPL-3.0-or-later

package main

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

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/grid/buildout"
	"slapos/grid/supervisor"
	"slapos/proxy"
)

// standaloneRequirements is what a Python environment of a cloud gets: versions
// that work together, not the newest of the day.
//
//go:embed standalone/requirements.txt
var standaloneRequirements []byte

func newStandaloneStartCommand(e *environment) *cli.Command {
	return &cli.Command{
		Name:  "start",
		Usage: "start a cloud of your own: a master, an agent and their services",
		Description: `Makes a directory with all that it takes, or goes on with the one that is there:
a master on this machine, partitions of this account, and an agent that installs
what is supplied and deploys what is requested, as soon as it is. Nothing outside
the directory is changed, no root is needed.

Releases are built by a Python with zc.buildout. Unless --python names one, or
python3 has it, an environment is made in the directory, from PyPI, of versions
that are known to work.

Exit codes: 0 it runs; 1 failed; 2 wrong usage.`,
		Flags: []cli.Flag{
			rootFlag(),
			argv.WholeFlag("port", "`PORT` of the master, 0 for a free one (default: the one of the last start, or 5000, or else a free one)", "", 0, maxPort),
			argv.WholeFlag("partitions", "`NUMBER` of partitions (default: that of the last start, or 10)", "", 0, maxPartitions),
			&cli.StringFlag{Name: "python", Usage: "`PATH` of a Python that has zc.buildout"},
		},
		Action: func(c *cli.Context) error { return e.startStandalone(c) },
	}
}

func (e *environment) startStandalone(c *cli.Context) error {
	s, err := e.newStandalone(c)
	if err != nil {
		return err
	}
	ctx := c.Context
	if s.runs(ctx) {
		for _, name := range []string{"port", "partitions", "python"} {
			if c.IsSet(name) {
				return fmt.Errorf("the cloud in %s runs: stop it before you change --%s", s.root, name)
			}
		}
		return s.tellStarted()
	}
	if err := s.choose(c); err != nil {
		return err
	}
	if err := os.MkdirAll(s.root, 0o750); err != nil {
		return err
	}
	if err := s.findPython(ctx, c.String("python")); err != nil {
		return err
	}
	if err := s.writeFiles(); err != nil {
		return err
	}
	watchdog := supervisor.Watchdog{
		Executable: e.executable, MasterURL: s.masterURL(), ComputerID: standaloneComputer, InstanceRoot: s.path("inst"),
	}
	if err := supervisor.WriteConfiguration(s.services(), watchdog.Command()); err != nil {
		return err
	}
	arguments := []string{"supervisord", "-c", s.path("etc/supervisord.conf"), "--background"}
	if err := supervisor.Detach(ctx, e.executable, arguments, e.environ); err != nil {
		return err
	}
	if err := s.waitForMaster(ctx); err != nil {
		return err
	}
	if err := s.format(ctx); err != nil {
		return err
	}
	return s.tellStarted()
}

// choose sets what options say, or else the last start, or else the defaults.
func (s *standaloneCloud) choose(c *cli.Context) error {
	switch {
	case c.IsSet("partitions"):
		s.partitions = argv.WholeOf(c, "partitions")
	case s.partitions == unset:
		s.partitions = standalonePartitions
	}
	if c.IsSet("port") {
		s.port = argv.WholeOf(c, "port")
	}
	return s.choosePort()
}

// choosePort finds a free one, unless one is wanted: that must be free, too,
// since whoever has it would be taken for the master.
func (s *standaloneCloud) choosePort() error {
	port := s.port
	if port == unset {
		port = standalonePort
	}
	listener, err := net.Listen(proxy.Network(s.host), net.JoinHostPort(s.host, strconv.Itoa(port)))
	switch {
	case err != nil && s.port != unset:
		return fmt.Errorf("the master can't have port %d, choose another one by --port: %w", s.port, err)
	case err != nil:
		if listener, err = net.Listen(proxy.Network(s.host), net.JoinHostPort(s.host, "0")); err != nil {
			return err
		}
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	return listener.Close()
}

// findPython finds or makes the Python that builds releases (D-2).
func (s *standaloneCloud) findPython(ctx context.Context, given string) error {
	if given != "" {
		path, err := exec.LookPath(s.e.expandUser(given))
		if err == nil {
			path, err = filepath.Abs(path)
		}
		if err != nil {
			return err
		}
		if !hasBuildout(ctx, path) {
			return fmt.Errorf("%[1]s has no zc.buildout: %[1]s -m pip install %[2]s", path, buildout.Packages)
		}
		s.python = path
		return nil
	}
	own := s.path("python/bin/python")
	for _, candidate := range []string{s.python, own, "python3"} {
		if path, err := exec.LookPath(candidate); err == nil && hasBuildout(ctx, path) {
			s.python, err = filepath.Abs(path)
			return err
		}
	}
	if err := s.makePython(ctx, own); err != nil {
		return err
	}
	s.python = own
	return nil
}

// makePython makes a Python environment with zc.buildout.
func (s *standaloneCloud) makePython(ctx context.Context, own string) error {
	python, err := exec.LookPath("python3")
	if err != nil {
		return errors.New("there is no Python 3 to build releases with: install python3 with venv, or name one by --python")
	}
	if exec.CommandContext(ctx, python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))").Run() != nil {
		return fmt.Errorf("%s is older than Python 3.11: install a newer python3 with venv, or name a Python with zc.buildout by --python", python)
	}
	s.e.log.Info("Making a Python environment with zc.buildout in " + s.path("python") + "...")
	requirements := s.path("python/requirements.txt")
	if err := s.makePythonBy(ctx, python, "-m", "venv", s.path("python")); err != nil {
		return err
	}
	if err := writeChanged(requirements, standaloneRequirements, 0o644); err != nil {
		return err
	}
	return s.makePythonBy(ctx, own, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--require-hashes", "-r", requirements)
}

func (s *standaloneCloud) makePythonBy(ctx context.Context, python string, arguments ...string) error {
	output, err := exec.CommandContext(ctx, python, arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("a Python environment with zc.buildout can't be made (%s: %s): name a Python that has it by --python",
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
func (s *standaloneCloud) format(ctx context.Context) error {
	command := exec.CommandContext(ctx, s.e.executable, "node", "format", "--now", "--cfg", s.configurationFile())
	command.Env = s.e.environ
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("partitions could not be made: %s", lastLineOf(string(output), err))
	}
	return nil
}

func (s *standaloneCloud) tellStarted() error {
	option := ""
	if s.root != s.e.expandUser(standaloneRoot) {
		option = " --root " + shellQuote(s.root)
	}
	_, err := fmt.Fprintf(s.e.stdout, `Your cloud in %[1]s runs.

  master  %[2]s, panel %[2]s/panel/
  node    %[3]s, %[4]d partitions

  slapos standalone shell%[5]s     # then: slapos supply URL %[3]s; slapos request NAME URL
  slapos standalone status%[5]s
  slapos standalone stop%[5]s
`, s.root, s.masterURL(), standaloneComputer, s.partitions, option)
	return err
}
