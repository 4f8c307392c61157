// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/grid/supervisor"
	"slapos/proxy"
	"slapos/slap/clock"
)

// A standaloneCloud is a master, an agent and their services of one ordinary
// user, all below one directory (D-14). The directory is laid out as by
// slapos.core's standalone library, so that either can go on with what the other
// has left (CLI-101 to CLI-110):
//
//	etc/   slapos.cfg, slapformat-definition.cfg, supervisord.conf
//	bin/   slapos, which knows the configuration
//	var/   proxy.db, log/, run/ with sv.sock and pid files
//	soft/, shared/, inst/
//
// One supervisor runs the master, the agent and the passes of the node; a second
// one, which it starts, runs the services of the partitions.
type standaloneCloud struct {
	e    *environment
	root string
	standaloneSettings
}

// standaloneSettings are what slapos.cfg keeps from one start to the next.
type standaloneSettings struct {
	host       string
	port       int    // of the master, 0: a free one, unset: nobody has said
	partitions int    // or unset
	python     string // that builds releases
}

const (
	standaloneComputer   = "local" // as the library calls it
	standaloneRoot       = "~/.slapos/standalone"
	unset                = -1
	standalonePort       = 5000
	standalonePartitions = 10
	maxPartitions        = 250 // each has an address of its own, see definition
	maxSocketPath        = 107 // bytes (CLI-110)
)

// rootFlag is --root of all these commands.
func rootFlag() cli.Flag {
	return &cli.StringFlag{Name: "root", Usage: "`DIRECTORY` of the cloud (default: " + standaloneRoot + ")"}
}

// newStandalone finds the directory, which may not exist yet, and its settings.
func (e *environment) newStandalone(c *cli.Context) (*standaloneCloud, error) {
	if e.uid == 0 {
		return nil, sentencef("This is for ordinary users: partitions would be root's, which the agent refuses. On a server, see slapos configure local.")
	}
	root, err := filepath.Abs(e.expandUser(cmp.Or(c.String("root"), standaloneRoot)))
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(root, "%\r\n") {
		return nil, fmt.Errorf("the path %q holds a percent sign or a line break, which configuration files can't", root)
	}
	s := &standaloneCloud{e: e, root: root}
	if longest := len(s.path("var/run/sv.sock.1234567")); longest > maxSocketPath {
		return nil, fmt.Errorf("the path %s is too long for sockets below it: %d characters less will do", root, longest-maxSocketPath)
	}
	return s, s.readSettings()
}

func (s *standaloneCloud) path(name string) string { return filepath.Join(s.root, name) }

func (s *standaloneCloud) configurationFile() string { return s.path("etc/slapos.cfg") }

func (s *standaloneCloud) masterURL() string {
	return "http://" + net.JoinHostPort(s.host, strconv.Itoa(s.port))
}

// system speaks with the supervisor of the cloud's own programs.
func (s *standaloneCloud) system() *supervisor.Client {
	return supervisor.NewClient(s.path("var/run/sv.sock"))
}

func (s *standaloneCloud) services() supervisor.Layout {
	return supervisor.Layout{InstanceRoot: s.path("inst"), Logger: s.e.log}
}

func (s *standaloneCloud) runs(ctx context.Context) bool {
	client := s.system()
	defer client.Close()
	_, _, err := client.State(ctx)
	return err == nil
}

// readSettings takes those of the last start, if there was any.
func (s *standaloneCloud) readSettings() (err error) {
	s.standaloneSettings = standaloneSettings{host: "127.0.0.1", port: unset, partitions: unset}
	configuration, err := s.e.nodeConfiguration(s.configurationFile())
	if _, statErr := os.Stat(s.configurationFile()); errors.Is(statErr, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = placeValue(configuration, err, "slapproxy", "slapformat") }()
	sections := map[string]map[string]string{}
	for _, name := range []string{"slapos", "slapproxy", "slapformat"} {
		if sections[name], err = configuration.Section(name); err != nil {
			return err
		}
	}
	// An empty host is none for the master, too.
	s.host, s.python = cmp.Or(sections["slapproxy"]["host"], s.host), sections["slapos"]["python"]
	if s.host, err = proxy.Host(s.host); err != nil {
		return err
	}
	if s.port, err = wholeOption(sections["slapproxy"], "port", unset); err != nil {
		return err
	}
	amount := sections["slapformat"]["partition_amount"]
	if amount == "-1" { // the library writes that before it knows
		return nil
	}
	s.partitions, err = wholeOption(sections["slapformat"], "partition_amount", unset)
	if err == nil && s.partitions > maxPartitions {
		err = &valueError{key: "partition_amount", value: amount, want: "must be " + argv.WholeRange(0, maxPartitions)}
	}
	return err
}

// requireRunning refuses to go on without the cloud.
func (s *standaloneCloud) requireRunning(ctx context.Context) error {
	if s.runs(ctx) {
		return nil
	}
	return fmt.Errorf("nothing runs in %s: slapos standalone start", s.root)
}

// waitForMaster waits until the master answers (CLI-108).
func (s *standaloneCloud) waitForMaster(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, masterPatience)
	defer cancel()
	for {
		err := s.askMaster(ctx)
		if err == nil {
			return nil
		}
		if clock.Pause(ctx, masterPause) != nil {
			return fmt.Errorf("the master does not answer at %s, see %s: %w", s.masterURL(), s.path("var/log/slapos-proxy.log"), err)
		}
	}
}

func (s *standaloneCloud) askMaster(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.masterURL()+"/getRunId", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}
