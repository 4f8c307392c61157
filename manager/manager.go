// SPDX-License-Identifier: GPL-3.0-or-later

// Package manager holds the resource managers of a node: small plugins, named
// in the option manager_list, that are called while the node is formatted and
// while its partitions are processed.
//
// [ParseList] reads the option, [New] makes the managers in the order of the
// list, and format and grid call the hooks of [Manager] at the moments in the
// table below. A manager keeps its requests and its state in files in the
// partition's directory. Its hooks are called again on every pass, so each is
// idempotent.
//
//	hook              called by      for each           moment
//	Format            node format    computer            before partitions are made
//	Instance          node instance  partition           before the timestamp rule
//	InstanceTearDown  node instance  partition           always, at the end
//	Report            node report    destroyed partition after stop, before destruction
//
// The original has three more, which none of its managers uses: formatTearDown,
// software and softwareTearDown.
//
// The managers are built in. Python managers of the original's installation
// cannot be loaded, and naming one is an error (MGR-1).
package manager

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"slapos/slap"
	"slapos/slap/confined"
)

// Manager is a resource manager. An error from a hook fails only the computer
// or partition that it was called for. Faults that a partition's user can cause
// (a malformed request file) are not errors, but logged as warnings.
type Manager interface {
	// Name is the name used in manager_list.
	Name() string
	// Format adds the changes to the machine that the manager needs to
	// computer. It only reads the machine: see [Computer.Do].
	Format(ctx context.Context, computer *Computer) error
	Instance(ctx context.Context, partition *Partition) error
	InstanceTearDown(ctx context.Context, partition *Partition) error
	Report(ctx context.Context, partition *Partition) error
}

// Config is what managers know of the node's configuration (MGR-2).
type Config struct {
	// Options are the effective options of [slapos], updated by
	// [networkcache]; in node format, format's own options.
	Options map[string]string
	// Firewall is the section [firewall], nil if missing.
	Firewall map[string]string
	// Managers holds each section [manager:NAME] under NAME.
	Managers map[string]map[string]string
	// Logger gets the attribute "logger", slapos.manager.NAME, from each
	// manager. Default: [slog.Default].
	Logger *slog.Logger
	// System is the machine. Zero fields stand for the real one.
	System System
}

// Computer is the argument of Format.
type Computer struct {
	Reference    string
	SoftwareRoot string
	InstanceRoot string
	// Do adds a change to the plan of node format: a description for people,
	// and the function that is called if the plan is applied.
	Do func(description string, apply func(context.Context) error)
}

// Partition is the argument of the instance and report hooks.
type Partition struct {
	// ID is the partition's reference, such as slappart3, and Path its directory.
	ID   string
	Path string
	// Directory is Path, opened; if nil, it is opened when needed.
	Directory *confined.Directory
	// UID and GID are the owner of Path; User is the name of that user.
	UID, GID int
	User     string
	// State is the state that the master wants.
	State slap.State
	// Addresses are the entries of ip_list and then of full_ip_list.
	Addresses  []slap.Address
	Supervisor Supervisor
	// Retention notes the date before which the partition may not be destroyed,
	// when that is due, and reports whether it may be destroyed now (GRID-84).
	// It is only set in Report; nil means that it may.
	Retention func(ctx context.Context) (destroyable bool, err error)
}

// Supervisor is the part of the process supervisor that a manager may use,
// within its own partition's groups. The group with suffix S of partition P is
// called P-S (MGR-5).
type Supervisor interface {
	// SetGroup writes the group's configuration and makes the supervisor read
	// it. It starts nothing. An unchanged group isn't disturbed.
	SetGroup(ctx context.Context, suffix string, programs []Program) error
	// RemoveGroup stops and removes the group; a missing one is no error.
	RemoveGroup(ctx context.Context, suffix string) error
	// NeverStarted reports whether the program, named suffix:program, hasn't
	// been started since the supervisor started.
	NeverStarted(ctx context.Context, suffix, program string) (bool, error)
	// Start starts the program without waiting for it.
	Start(ctx context.Context, suffix, program string) error
}

// Program is one process of a supervisor group.
type Program struct {
	Name    string
	Command string
	// UID and GID of the process.
	UID, GID int
}

// constructors has all managers, by name.
var constructors = map[string]func(Config) Manager{
	"cpuset":            newCPUSet,
	"devperm":           newDevPerm,
	"portredir":         newPortRedirection,
	"prerm":             newPreRemove,
	"whitelistfirewall": newWhitelistFirewall,
}

// ParseList returns the names in the value of manager_list, which are
// separated by blanks, line ends or commas.
func ParseList(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool {
		return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r'
	})
}

// New makes the managers named, in that order; a repeated name makes two
// (MGR-1).
func New(names []string, config Config) ([]Manager, error) {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	config.System = config.System.withDefaults()
	var managers []Manager
	for _, name := range names {
		construct, found := constructors[name]
		if !found {
			return nil, fmt.Errorf("manager_list: there is no manager %q (there are: %s)", name, strings.Join(Names(), ", "))
		}
		own := config
		own.Logger = config.Logger.With("logger", "slapos.manager."+name)
		managers = append(managers, construct(own))
	}
	return managers, nil
}

// Names returns the names of all managers, sorted.
func Names() []string {
	var names []string
	for name := range constructors {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// hooks is a manager that does nothing. The others embed it and define the
// hooks that they need.
type hooks struct{}

func (hooks) Format(context.Context, *Computer) error            { return nil }
func (hooks) Instance(context.Context, *Partition) error         { return nil }
func (hooks) InstanceTearDown(context.Context, *Partition) error { return nil }
func (hooks) Report(context.Context, *Partition) error           { return nil }
