// SPDX-License-Identifier: GPL-3.0-or-later

// Package manager holds the resource managers of a node: small plugins, named
// in the option manager_list, that are called while the node is formatted and
// while its partitions are processed.
//
// [ParseList] reads the option, [New] makes the managers in the order of the
// list, and format and grid call the hooks of [Manager] at the moments of the
// table below. A manager keeps its requests and its state in files of the
// partition's directory, so each hook is idempotent: it is called again on
// every pass.
//
//	hook              called by      for each           moment
//	Format            node format    computer            before partitions are made
//	Instance          node instance  partition           before the timestamp rule
//	InstanceTearDown  node instance  partition           always, at the end
//	Report            node report    destroyed partition after stop, before destruction
//
// The original has three more, of which none of its managers does anything:
// formatTearDown, software and softwareTearDown.
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

// Manager is one resource manager. An error returned by a hook fails the
// computer or partition it was called for, and nothing else.
// Conditions that a user of the partition can cause (a malformed request file)
// are logged as warnings and are no errors.
type Manager interface {
	// Name is the name used in manager_list.
	Name() string
	// Format adds what the manager wants of the machine to computer. It reads
	// the machine and changes nothing itself: see [Computer.Do].
	Format(ctx context.Context, computer *Computer) error
	Instance(ctx context.Context, partition *Partition) error
	InstanceTearDown(ctx context.Context, partition *Partition) error
	Report(ctx context.Context, partition *Partition) error
}

// Config is what managers are told of the node's configuration (MGR-2).
type Config struct {
	// Options are the effective options of [slapos], updated by
	// [networkcache]; in node format, format's own options.
	Options map[string]string
	// Firewall is the section [firewall], nil when there is none.
	Firewall map[string]string
	// Managers holds each section [manager:NAME] under NAME.
	Managers map[string]map[string]string
	// Logger is given the attribute "logger", slapos.manager.NAME, by each
	// manager. Default: [slog.Default].
	Logger *slog.Logger
	// System is the machine. Zero fields mean the real one.
	System System
}

// Computer is the argument of Format.
type Computer struct {
	Reference    string
	SoftwareRoot string
	InstanceRoot string
	// Do adds a change to the plan of node format: what it does, for a reader,
	// and the function that does it, called when and if the plan is applied.
	Do func(description string, apply func(context.Context) error)
}

// Partition is the argument of the instance and report hooks.
type Partition struct {
	// ID is the partition's reference, such as slappart3, and Path its directory.
	ID   string
	Path string
	// Directory is Path, opened; nil: opened when needed.
	Directory *confined.Directory
	// UID and GID are the owner of Path; User is the name of that user.
	UID, GID int
	User     string
	// State is what the master asks for.
	State slap.State
	// Addresses are the entries of ip_list and then of full_ip_list.
	Addresses  []slap.Address
	Supervisor Supervisor
	// Retention writes the date before which the partition may not be
	// destroyed, when that is due, and tells whether it may be destroyed now
	// (GRID-84). Only set in Report; nil means that it may.
	Retention func(ctx context.Context) (destroyable bool, err error)
}

// Supervisor is what a manager may do to the process supervisor, within the
// groups of its own partition. The group with suffix S of partition P is called
// P-S (MGR-5).
type Supervisor interface {
	// SetGroup writes the group's configuration and makes the supervisor know
	// it. Nothing is started. An unchanged group goes on undisturbed.
	SetGroup(ctx context.Context, suffix string, programs []Program) error
	// RemoveGroup stops and forgets the group; no group is no error.
	RemoveGroup(ctx context.Context, suffix string) error
	// NeverStarted tells whether the program, named suffix:program, has not been
	// started since the supervisor began.
	NeverStarted(ctx context.Context, suffix, program string) (bool, error)
	// Start starts the program without waiting for it.
	Start(ctx context.Context, suffix, program string) error
}

// Program is one process of a supervisor group.
type Program struct {
	Name    string
	Command string
	// UID and GID the process runs as.
	UID, GID int
}

// constructors are the managers there are, by name.
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

// New makes the managers of names, in that order; a name given twice makes two
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

// hooks is a manager that does nothing; the real ones embed it and have the
// hooks they need.
type hooks struct{}

func (hooks) Format(context.Context, *Computer) error            { return nil }
func (hooks) Instance(context.Context, *Partition) error         { return nil }
func (hooks) InstanceTearDown(context.Context, *Partition) error { return nil }
func (hooks) Report(context.Context, *Partition) error           { return nil }
