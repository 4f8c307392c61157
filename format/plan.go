// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"slapos/manager"
	"slapos/manager/cgroup"
)

// Plan is the ordered difference between what is wanted and what is there.
type Plan []Step

// Step is one change to the machine.
type Step struct {
	// Action is the kind of change: make-directory, set-owner, set-mode,
	// account, sysctl, make-device, add-address, delete-route, add-route,
	// cgroup, manager, wait.
	Action string `json:"action"`
	// Command is a command line that would do the same; the lines of a plan are
	// for reading, none of them but those of users is ever run.
	Command string `json:"command"`

	apply func(context.Context) error
}

func (s Step) String() string { return s.Command }

// Apply carries the plan out, up to the first step that fails. The log has each
// step at debug level (FMT-64); progress is called after each one.
func (p Plan) Apply(ctx context.Context, log *slog.Logger, progress func(done, total int)) error {
	for i, step := range p {
		if err := ctx.Err(); err != nil {
			return err
		}
		log.Debug(step.Command)
		if err := step.apply(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.Command, err)
		}
		progress(i+1, len(p))
	}
	return nil
}

// planner collects the steps of a plan.
type planner struct {
	definition *Definition
	wanted     *Wanted
	present    *Present
	machine    *Machine
	log        *slog.Logger
	plan       Plan
	probe      probe
	there      map[LinkAddress]bool    // addresses, present or planned
	unsettled  map[LinkAddress]bool    // present, but perhaps another machine's
	routes     map[routeTarget][]Route // present
	addresses  map[int][]WantedAddress // by partition

	withoutCGroups bool // found out while the plan is applied
}

// build returns what must be done so that the machine is as wanted. The error is
// what keeps it from being all: the fault of wanted, or of the machine.
//
// The order is that of FMT-41 to FMT-59, except that ranges and directories
// come last: all addresses are added before one wait for all of them.
func (p *planner) build(ctx context.Context, managers []manager.Manager) (Plan, error) {
	computer, fault := p.wanted.Computer, p.wanted.Fault
	p.roots(computer)
	if err := p.managers(ctx, managers); err != nil {
		return p.plan, err
	}
	if fault != nil && fault.Partition < 0 {
		return p.plan, fault.Err
	}
	if p.definition.AlterNetwork && computer.PartitionHasIPv6Range && !p.present.NonlocalBind {
		p.sysctl(nonlocalBind, "1")
	}
	if p.definition.AlterNetwork {
		p.index()
	}
	partitions := computer.Partitions
	if fault != nil {
		partitions = partitions[:fault.Partition+1]
	}
	p.cgroupsTop()
	for i, partition := range partitions {
		if p.definition.AlterUser {
			p.user(plannedUser{partition.User, partition.Path, computer.SoftwareUser})
		}
		p.cgroup(i, partition)
		if !p.definition.AlterNetwork {
			continue
		}
		if err := p.network(i, partition); err != nil {
			return p.plan, fmt.Errorf("partition %s: %w", partition.Reference, err)
		}
	}
	p.wait()
	if fault != nil {
		partitions = partitions[:fault.Partition]
	}
	for _, partition := range partitions {
		if err := p.rangeRoute(partition); err != nil {
			return p.plan, err
		}
		for _, path := range append([]string{partition.Path}, partition.ExternalStorage...) {
			p.directory(path, 0o750, os.Mkdir, p.owner(partition.User))
		}
	}
	if fault != nil {
		return p.plan, fault.Err
	}
	p.certificates()
	return p.plan, nil
}

func (p *planner) add(action, command string, apply func(context.Context) error) {
	p.plan = append(p.plan, Step{action, command, apply})
}

// roots plans the two roots and the software user (FMT-41, FMT-42).
func (p *planner) roots(computer *Computer) {
	p.directory(computer.InstanceRoot, 0o755, os.MkdirAll, "")
	p.directory(computer.SoftwareRoot, 0o755, os.MkdirAll, "")
	if p.definition.AlterUser {
		p.user(plannedUser{computer.SoftwareUser, computer.SoftwareRoot, ""})
		p.setOwner(computer.SoftwareRoot, computer.SoftwareUser)
	}
}

// owner is the name, or "" when owners are none of our business.
func (p *planner) owner(user string) string {
	if p.definition.AlterUser {
		return user
	}
	return ""
}

// directory plans a directory with its mode and, unless empty, its owner.
func (p *planner) directory(path string, mode fs.FileMode, create func(string, fs.FileMode) error, owner string) {
	information, err := os.Stat(path)
	if err != nil {
		p.add("make-directory", fmt.Sprintf("mkdir -m %04o %s", mode, path), func(context.Context) error {
			if err := create(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			return os.Chmod(path, mode) // whatever the umask
		})
	}
	if owner != "" {
		p.setOwner(path, owner)
	}
	if err == nil && information.Mode().Perm() != mode {
		p.add("set-mode", fmt.Sprintf("chmod %04o %s", mode, path), func(context.Context) error { return os.Chmod(path, mode) })
	}
}

// setOwner plans that a user and its primary group own a path.
func (p *planner) setOwner(path, name string) {
	user, known := p.present.Accounts.Users[name]
	if information, err := os.Stat(path); err == nil && known {
		if stat, ok := information.Sys().(*syscall.Stat_t); ok && int(stat.Uid) == user.UID && int(stat.Gid) == user.GID {
			return
		}
	}
	p.add("set-owner", fmt.Sprintf("chown %s: %s", name, path), func(ctx context.Context) error {
		user, err := p.machine.user(ctx, name)
		if err != nil {
			return err
		}
		return p.machine.Chown(path, user.UID, user.GID)
	})
}

// user plans a user, its group, and that nobody logs in as it (FMT-48). Root is
// never changed.
func (p *planner) user(user plannedUser) {
	if user.Name == "root" {
		return
	}
	accounts := p.present.Accounts
	for _, words := range user.commands(accounts) {
		p.add("account", strings.Join(words, " "), func(ctx context.Context) error {
			_, err := p.machine.Run(ctx, words...)
			p.machine.accounts = nil
			switch {
			case err == nil:
				return nil
			case words[0] == "usermod":
				// It refuses while the user runs something; the next run tries again.
				p.log.Warn("user is not changed", "error", err)
				return nil
			case p.machine.isDone(user, words):
				return nil // by a program that a stopped run had left behind
			}
			return err
		})
	}
	// From here on the plan counts on it. New numbers are known only later.
	group, found := accounts.Groups[user.Name]
	if !found {
		group = Group{GID: -1}
		accounts.Groups[user.Name] = group
	}
	known, found := accounts.Users[user.Name]
	if !found {
		known.UID = -1
	}
	accounts.Users[user.Name] = User{known.UID, group.GID, user.Home, userShell, true}
	if user.Group != "" && !accounts.isMember(user.Name, user.Group) {
		shared := accounts.Groups[user.Group]
		shared.Members = append(shared.Members, user.Name)
		accounts.Groups[user.Group] = shared
	}
}

// managers asks the managers for their part of the plan (FMT-43).
func (p *planner) managers(ctx context.Context, managers []manager.Manager) error {
	computer := p.wanted.Computer
	for _, m := range managers {
		err := m.Format(ctx, &manager.Computer{
			Reference:    computer.Reference,
			SoftwareRoot: computer.SoftwareRoot,
			InstanceRoot: computer.InstanceRoot,
			Do:           func(description string, apply func(context.Context) error) { p.add("manager", description, apply) },
		})
		if err != nil {
			return fmt.Errorf("manager %s: %w", m.Name(), err)
		}
	}
	return nil
}

// usesCGroups: partitions get control groups where users are kept apart at all.
func (p *planner) usesCGroups() bool {
	return p.definition.AlterUser && p.machine.CGroups.Available() == nil
}

func (p *planner) cgroupsTop() {
	if p.usesCGroups() {
		p.cgroupChanges(p.machine.CGroups.PrepareTop())
	}
}

// cgroup plans the control group of a partition (D-12).
func (p *planner) cgroup(i int, partition *Partition) {
	if p.usesCGroups() {
		p.cgroupChanges(p.machine.CGroups.Prepare(partition.Reference, p.definition.limits(i)))
	}
}

// cgroupChanges plans changes that nothing else depends on: where the kernel
// refuses one, as it may inside a container, the rest is left out.
func (p *planner) cgroupChanges(changes []cgroup.Change) {
	for _, change := range changes {
		p.add("cgroup", change.Description, func(context.Context) error {
			if p.withoutCGroups {
				return nil
			}
			if err := change.Apply(); err != nil {
				p.withoutCGroups = true
				p.log.Warn("partitions are not limited by control groups", "error", err)
			}
			return nil
		})
	}
}

// limits of a partition: those of the definition file, else of the options.
func (d *Definition) limits(i int) cgroup.Limits {
	if d.Input != nil {
		return d.Input.Partitions[i].Limits
	}
	return d.Limits
}

func (p *planner) sysctl(name, value string) {
	p.add("sysctl", "sysctl "+strings.ReplaceAll(name, "/", ".")+"="+value, func(context.Context) error {
		return os.WriteFile(filepath.Join(p.machine.ProcSys, name), []byte(value), 0)
	})
}

// certificates plans the directory for certificates of partitions (FMT-76).
func (p *planner) certificates() {
	path := p.definition.CertificateRepository
	if path == "" {
		return
	}
	if information, err := os.Stat(path); err == nil && information.IsDir() {
		return
	}
	p.add("make-directory", "mkdir -p -m 0700 "+path, func(context.Context) error {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.Mkdir(path, 0o700)
	})
}
