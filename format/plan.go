// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"slapos/manager/cgroup"
)

// Plan is the ordered difference between the wanted and the present state.
type Plan []Step

// Step is one change to the machine.
type Step struct {
	// Action is the kind of change: make-directory, set-owner, set-mode,
	// account, sysctl, make-device, add-address, delete-route, add-route,
	// cgroup, manager, wait.
	Action string `json:"action"`
	// Command is a command line with the same effect. It is for reading; only
	// the commands for users are ever run.
	Command string `json:"command"`

	change change
	// partition is the one whose directories the step prepares. If the step
	// fails, only the other steps with that partition are skipped.
	partition *Partition
}

func (s Step) String() string { return s.Command }

// Apply applies the plan to the machine, up to the first step that fails. A
// step for the directories of one partition only fails that partition, which
// the list then contains. Each step is logged at debug level (FMT-64); progress
// is called after each one.
func (p Plan) Apply(ctx context.Context, m *Machine, log *slog.Logger, progress func(done, total int)) ([]PartitionFailure, error) {
	e := &execution{machine: m, log: log}
	defer e.close()
	var failures []PartitionFailure
	for i, step := range p {
		if err := ctx.Err(); err != nil {
			return failures, err
		}
		if step.partition == nil || !hasFailed(failures, step.partition) {
			log.Debug(step.Command)
			err := step.change.apply(ctx, e)
			if err != nil {
				err = fmt.Errorf("%s: %w", step.Command, err)
			}
			switch {
			case err != nil && (step.partition == nil || ctx.Err() != nil):
				return failures, err
			case err != nil:
				failures = append(failures, PartitionFailure{Reference: step.partition.Reference, Err: err})
			}
		}
		progress(i+1, len(p))
	}
	return failures, nil
}

// planned is the result of planning.
type planned struct {
	plan Plan
	// warnings to log.
	warnings []string
	// failures are the partitions whose directories can't be planned.
	failures []PartitionFailure
	// fault says why the plan is incomplete, because of wanted or of the machine.
	fault error
}

// planner collects the steps of a plan.
type planner struct {
	planned
	wanted  *Wanted
	present *Present

	// What exists, and what the plan will have made so far.
	accounts    *Accounts
	directories map[string]Directory
	devices     map[string]bool
	there       map[LinkAddress]bool // addresses
	routes      map[routeTarget][]Route

	users     map[string]plannedUser // as they should be, by name
	probed    await
	unsettled map[LinkAddress]bool    // present, but perhaps another machine's
	addresses map[int][]WantedAddress // wanted, by partition
}

// makePlan returns what must be done to bring the machine into the wanted
// state. It only depends on its arguments and doesn't change them.
//
// The order is that of FMT-41 to FMT-59, except that ranges and directories
// come last: all addresses are added before a single wait for all of them.
func makePlan(wanted *Wanted, present *Present) planned {
	p := &planner{wanted: wanted, present: present, accounts: present.Accounts.clone(),
		directories: maps.Clone(present.Directories), devices: map[string]bool{}, users: map[string]plannedUser{}}
	if p.directories == nil {
		p.directories = map[string]Directory{}
	}
	p.fault = p.build()
	return p.planned
}

func (p *planner) build() error {
	computer, fault := p.wanted.Computer, p.wanted.Fault
	d := p.wanted.Definition
	partitions := computer.Partitions
	if fault != nil {
		partitions = partitions[:fault.Partition+1]
	}
	p.wantUsers(partitions)
	if err := p.roots(computer); err != nil {
		return err
	}
	p.plan = append(p.plan, p.wanted.Managed...)
	if fault != nil && fault.Partition < 0 {
		return fault.Err
	}
	if d.AlterNetwork && computer.PartitionHasIPv6Range && !p.present.NonlocalBind {
		p.add("sysctl", "sysctl "+strings.ReplaceAll(nonlocalBind, "/", ".")+"=1", setSysctl{name: nonlocalBind, value: "1"})
	}
	if d.AlterNetwork {
		p.index()
		p.ownAddress()
	}
	if groups := p.present.CGroups; groups != nil {
		p.cgroups(groups.PrepareTop())
	}
	for i, partition := range partitions {
		p.user(partition.User)
		if groups := p.present.CGroups; groups != nil { // D-12
			p.cgroups(groups.Prepare(partition.Reference, d.limits(i)))
		}
		if !d.AlterNetwork {
			continue
		}
		if err := p.network(i, partition); err != nil {
			return fmt.Errorf("partition %s: %w", partition.Reference, err)
		}
	}
	if n := len(p.probed.added) + len(p.probed.found); n > 0 {
		p.add("wait", fmt.Sprintf("wait for duplicate address detection of %d addresses", n), p.probed)
	}
	if fault != nil {
		partitions = partitions[:fault.Partition]
	}
	for _, partition := range partitions {
		if err := p.rangeRoute(partition); err != nil {
			return err
		}
		if err := p.partitionDirectories(partition); err != nil {
			p.failures = append(p.failures, PartitionFailure{Reference: partition.Reference, Err: err})
		}
	}
	if fault != nil {
		return fault.Err
	}
	return p.certificates()
}

func (p *planner) add(action, command string, change change) {
	p.plan = append(p.plan, Step{Action: action, Command: command, change: change})
}

func (p *planner) warn(format string, values ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf(format, values...))
}

// roots plans the two roots and the software user (FMT-41, FMT-42).
func (p *planner) roots(computer *Computer) error {
	for _, path := range []string{computer.InstanceRoot, computer.SoftwareRoot} {
		if err := p.directory(makeDirectory{path: path, mode: 0o755, parents: true}, ""); err != nil {
			return err
		}
	}
	p.user(computer.SoftwareUser)
	p.setOwner(computer.SoftwareRoot, p.owner(computer.SoftwareUser))
	return nil
}

// owner returns the name, or "" if owners are not to be changed.
func (p *planner) owner(user string) string {
	if p.wanted.Definition.AlterUser {
		return user
	}
	return ""
}

// partitionDirectories plans the directory of a partition and its directories
// in external storage (FMT-46, FMT-49).
func (p *planner) partitionDirectories(partition *Partition) (err error) {
	first := len(p.plan)
	for _, path := range partition.directories() {
		if err = p.directory(makeDirectory{path: path, mode: 0o750}, p.owner(partition.User)); err != nil {
			break
		}
	}
	for i := range p.plan[first:] {
		p.plan[first+i].partition = partition
	}
	return err
}

// directory plans a directory with its mode and, unless empty, its owner.
func (p *planner) directory(wanted makeDirectory, owner string) error {
	present, found := p.directories[wanted.path]
	if present.Err != nil {
		return present.Err
	}
	if !found {
		p.add("make-directory", fmt.Sprintf("mkdir -m %04o %s", wanted.mode, wanted.path), wanted)
		p.directories[wanted.path] = Directory{UID: unknownID, GID: unknownID, Mode: wanted.mode, IsDirectory: true}
	}
	p.setOwner(wanted.path, owner)
	if found && present.Mode != wanted.mode {
		p.add("set-mode", fmt.Sprintf("chmod %04o %s", wanted.mode, wanted.path), setMode{path: wanted.path, mode: wanted.mode})
		present = p.directories[wanted.path]
		present.Mode = wanted.mode
		p.directories[wanted.path] = present
	}
	return nil
}

// setOwner plans to give a directory to a user, unless empty, and its primary
// group.
func (p *planner) setOwner(path, name string) {
	if name == "" {
		return
	}
	user, known := p.accounts.Users[name]
	directory := p.directories[path]
	if known && user.UID != unknownID && directory.UID == user.UID && directory.GID == user.GID {
		return
	}
	p.add("set-owner", fmt.Sprintf("chown %s: %s", name, path), setOwner{path: path, user: name})
}

// wantUsers determines how each user should be. A user of several partitions
// has the home of the last one.
func (p *planner) wantUsers(partitions []*Partition) {
	computer := p.wanted.Computer
	p.users[computer.SoftwareUser] = plannedUser{Name: computer.SoftwareUser, Home: computer.SoftwareRoot}
	for _, partition := range partitions {
		p.users[partition.User] = plannedUser{Name: partition.User, Home: partition.Path, Group: computer.SoftwareUser}
	}
}

// user plans a user, its group, and that nobody can log in as that user
// (FMT-48). Root is never changed.
func (p *planner) user(name string) {
	user := p.users[name]
	if user.Name == "root" || !p.wanted.Definition.AlterUser {
		return
	}
	for _, words := range user.commands(p.accounts) {
		p.add("account", strings.Join(words, " "), changeAccount{command: words, user: user})
	}
	p.accounts.put(user)
}

// cgroups plans changes of control groups.
func (p *planner) cgroups(changes []cgroup.Change) {
	for _, change := range changes {
		p.add("cgroup", change.String(), changeCGroup{Change: change})
	}
}

// limits returns a partition's limits: the definition file's, else the options'.
func (d *Definition) limits(i int) cgroup.Limits {
	if d.Input != nil {
		return d.Input.Partitions[i].Limits
	}
	return d.Limits
}

// certificates plans the directory for certificates of partitions (FMT-76).
func (p *planner) certificates() error {
	path := p.wanted.Definition.CertificateRepository
	if path == "" {
		return nil
	}
	present, found := p.directories[path]
	switch {
	case present.Err != nil:
		return fmt.Errorf("certificate_repository_path: %w", present.Err)
	case found && !present.IsDirectory:
		return fmt.Errorf("certificate_repository_path %s is not a directory: remove it, or name another one", path)
	case !found:
		p.add("make-directory", "mkdir -p -m 0700 "+path, makeDirectory{path: path, mode: certificatesMode, parents: true})
	}
	return nil
}

// certificatesMode is restrictive, since there are private keys.
const certificatesMode fs.FileMode = 0o700

// directories returns a partition's directories.
func (p *Partition) directories() []string {
	return slices.Concat([]string{p.Path}, p.ExternalStorage)
}
