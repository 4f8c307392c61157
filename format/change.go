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

	"slapos/manager/cgroup"
)

// A change is what a step does, as data. Only applying changes touches the
// machine.
type change interface {
	apply(ctx context.Context, e *execution) error
}

// execution is a plan that is being applied.
type execution struct {
	machine *Machine
	log     *slog.Logger
	watch   DuplicateWatch // nil until an address is added
	// withoutCGroups means that the kernel has refused a change of control groups.
	withoutCGroups bool
}

func (e *execution) close() {
	if e.watch != nil {
		e.watch.Close()
	}
}

// makeDirectory makes a directory with its mode, regardless of the umask.
type makeDirectory struct {
	path string
	mode fs.FileMode
	// parents also makes missing parents, with mode 0755.
	parents bool
}

func (c makeDirectory) apply(context.Context, *execution) error {
	if c.parents {
		if err := os.MkdirAll(filepath.Dir(c.path), 0o755); err != nil {
			return err
		}
	}
	if err := os.Mkdir(c.path, c.mode); err != nil {
		if info, errStat := os.Stat(c.path); !errors.Is(err, fs.ErrExist) || errStat != nil || !info.IsDir() {
			return err
		}
	}
	return os.Chmod(c.path, c.mode)
}

// setMode sets the mode of a directory.
type setMode struct {
	path string
	mode fs.FileMode
}

func (c setMode) apply(context.Context, *execution) error { return os.Chmod(c.path, c.mode) }

// setOwner gives a directory to a user and its primary group.
type setOwner struct{ path, user string }

func (c setOwner) apply(ctx context.Context, e *execution) error {
	user, err := e.machine.user(ctx, c.user)
	if err != nil {
		return err
	}
	return e.machine.Chown(c.path, user.UID, user.GID)
}

// changeAccount runs one of the commands that make the user as it should be.
type changeAccount struct {
	command []string
	user    plannedUser
}

func (c changeAccount) apply(ctx context.Context, e *execution) error {
	_, err := e.machine.Run(ctx, c.command...)
	e.machine.accounts = nil
	switch {
	case err == nil:
		return nil
	case c.command[0] == "usermod":
		// The command refuses while the user runs something; the next run tries again.
		e.log.Warn("user is not changed", "error", err)
		return nil
	case e.machine.isDone(c.user, c.command):
		return nil // by a program that an interrupted run left running
	}
	return err
}

// setSysctl sets a parameter of the kernel.
type setSysctl struct{ name, value string }

func (c setSysctl) apply(_ context.Context, e *execution) error {
	return os.WriteFile(filepath.Join(e.machine.ProcSys, c.name), []byte(c.value), 0)
}

// changeCGroup changes something in the control groups. Nothing else depends on
// it: if the kernel refuses a change, as it may inside a container, the rest is
// skipped.
type changeCGroup struct{ cgroup.Change }

func (c changeCGroup) apply(_ context.Context, e *execution) error {
	if e.withoutCGroups {
		return nil
	}
	if err := c.Apply(); err != nil {
		e.withoutCGroups = true
		e.log.Warn("partitions are not limited by control groups", "error", err)
	}
	return nil
}

// managed is a change that a manager requests.
type managed struct {
	do func(context.Context) error
}

func (c managed) apply(ctx context.Context, _ *execution) error { return c.do(ctx) }

// makeDevice makes a tap or tun and brings it up.
type makeDevice struct {
	name string
	mode DeviceMode
	user string
}

func (c makeDevice) apply(ctx context.Context, e *execution) error {
	owner, err := e.machine.user(ctx, c.user)
	if err != nil {
		return err
	}
	return e.machine.Network.AddTunTap(ctx, c.name, c.mode, owner.UID)
}

// setDeviceUp brings a device up.
type setDeviceUp struct{ name string }

func (c setDeviceUp) apply(ctx context.Context, e *execution) error {
	return e.machine.Network.SetUp(ctx, c.name)
}

// addAddress adds an address to an interface.
type addAddress struct {
	WantedAddress
	options AddressOptions
	// probed asks the kernel whether another machine has it.
	probed bool
	// optional ignores a failure to add it.
	optional bool
}

func (c addAddress) apply(ctx context.Context, e *execution) error {
	if c.probed {
		if err := e.watchDuplicates(ctx); err != nil {
			return err
		}
	}
	err := e.machine.Network.AddAddress(ctx, c.Link, c.Address, c.options)
	switch {
	case err != nil && c.optional:
		e.log.Debug("address of tun is not added", "error", err)
	case err != nil:
		return err
	case c.Restored:
		e.log.Info(fmt.Sprintf("Successfully added IPv6 %s to %s.", c.Address.Addr(), c.Link))
	}
	return nil
}

type addRoute struct{ Route }

func (c addRoute) apply(ctx context.Context, e *execution) error {
	return e.machine.Network.AddRoute(ctx, c.Route)
}

type deleteRoute struct{ Route }

func (c deleteRoute) apply(ctx context.Context, e *execution) error {
	return e.machine.Network.DeleteRoute(ctx, c.Route)
}
