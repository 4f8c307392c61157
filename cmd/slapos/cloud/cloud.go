// SPDX-License-Identifier: GPL-3.0-or-later

// Package cloud is what slapos standalone starts, shows and stops: a master, an
// agent and their services of one ordinary user, all below one directory (D-14).
//
//	c, err := cloud.New(cloud.Options{Root: "/home/me/.slapos/standalone", ...})
//	c.Settings = cloud.Settings{Host: "127.0.0.1", Port: 0, Partitions: 10}
//	err = c.Start(ctx, "")         // and [Cloud.Stop]
//	status, err := c.Status(ctx)   // what runs
//
// The directory is laid out as by slapos.core's standalone library, so that either
// can go on with what the other has left (CLI-101 to CLI-110):
//
//	etc/   slapos.cfg, slapformat-definition.cfg, supervisord.conf
//	bin/   slapos, which knows the configuration
//	var/   proxy.db, log/, run/ with sv.sock and pid files
//	soft/, shared/, inst/
//
// One supervisor runs the master and the agent, and passes of the node for those who
// start them; a second one, which it starts, runs the services of the partitions.
//
// The room writes slapos.cfg but doesn't read it: the command that does so sets
// [Cloud.Settings]. It prints nothing.
package cloud

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"slapos/grid/supervisor"
	"slapos/slap/clock"
)

const (
	// Computer is the reference of the node, as the library calls it.
	Computer = "local"
	// Unset is a number that nobody has chosen.
	Unset = -1
	// DefaultHost is where the master listens.
	DefaultHost = "127.0.0.1"
	// DefaultPort is the master's when it is free, unless one is chosen.
	DefaultPort       = 5000
	defaultPartitions = 10
	// MaxPartitions: each has an address of its own, see definition.
	MaxPartitions = 250

	maxSocketPath  = 107 // bytes (CLI-110)
	masterPatience = time.Minute
	askPause       = 100 * time.Millisecond
)

// Options say where a cloud is and who runs it.
type Options struct {
	Root       string   // its directory, absolute; it may not exist yet
	Executable string   // slapos
	Environ    []string // of what is started
	User       int      // whose partitions they are
	Logger     *slog.Logger
}

// Settings are what slapos.cfg keeps from one start to the next.
type Settings struct {
	Host       string
	Port       int    // of the master, 0: a free one, or Unset
	Partitions int    // or Unset
	Python     string // that builds releases
	TokenFile  string // has the token that the master asks for, see [Cloud.OwnTokenFile]; empty: it asks for none
}

// A Cloud is a directory and what runs in it.
type Cloud struct {
	Settings Settings
	options  Options
}

// New refuses a directory that can't have a cloud.
func New(options Options) (*Cloud, error) {
	if strings.ContainsAny(options.Root, "%\r\n") {
		return nil, fmt.Errorf("the path %q contains a percent sign or a line break, which configuration files can't contain", options.Root)
	}
	c := &Cloud{options: options, Settings: Settings{Host: DefaultHost, Port: Unset, Partitions: Unset}}
	if longest := len(c.Path("var/run/sv.sock.1234567")); longest > maxSocketPath {
		return nil, fmt.Errorf("the path %s is too long for the sockets below it: shorten it by %d characters", options.Root, longest-maxSocketPath)
	}
	return c, nil
}

// Root is the directory.
func (c *Cloud) Root() string { return c.options.Root }

// Path is that of a file below the directory.
func (c *Cloud) Path(name string) string { return filepath.Join(c.options.Root, name) }

// OwnTokenFile is where the token of the master is, which keeps the other users of the
// machine out (CLI-112).
func (c *Cloud) OwnTokenFile() string { return c.Path("etc/master-token") }

// ConfigurationFile is the slapos.cfg of the cloud.
func (c *Cloud) ConfigurationFile() string { return c.Path("etc/slapos.cfg") }

// MasterURL is the address of the master.
func (c *Cloud) MasterURL() string {
	return "http://" + net.JoinHostPort(c.Settings.Host, strconv.Itoa(c.Settings.Port))
}

// system speaks with the supervisor of the cloud's own programs.
func (c *Cloud) system() *supervisor.Client {
	return supervisor.NewClient(c.Path("var/run/sv.sock"))
}

func (c *Cloud) services() supervisor.Layout {
	return supervisor.Layout{InstanceRoot: c.Path("inst"), Logger: c.options.Logger}
}

// Runs reports whether the cloud's supervisor answers.
func (c *Cloud) Runs(ctx context.Context) bool {
	client := c.system()
	defer client.Close()
	_, _, err := client.State(ctx)
	return err == nil
}

// waitForMaster waits until the master answers (CLI-108).
func (c *Cloud) waitForMaster(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, masterPatience)
	defer cancel()
	for {
		err := c.askMaster(ctx)
		if err == nil {
			return nil
		}
		if clock.Pause(ctx, askPause) != nil {
			return fmt.Errorf("the master does not answer at %s, see %s: %w", c.MasterURL(), c.Path("var/log/slapos-proxy.log"), err)
		}
	}
}

func (c *Cloud) askMaster(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.MasterURL()+"/getRunId", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}
