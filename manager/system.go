// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// System is the machine as managers see it. Its zero value is the real one;
// tests replace single fields.
type System struct {
	// CGroupRoot is where control groups are mounted, /sys/fs/cgroup.
	CGroupRoot string
	// CPURoot has the descriptions of processors, /sys/devices/system/cpu.
	CPURoot string
	// Run runs a program and returns its standard output, even if it fails; a
	// status other than 0 is an *exec.ExitError.
	Run func(ctx context.Context, name string, arguments ...string) ([]byte, error)
	// LookPath finds a program on PATH.
	LookPath func(name string) (string, error)
	// Owner returns the owner of path, Chown changes owner and group.
	Owner func(path string) (uid int, err error)
	Chown func(path string, uid, gid int) error
	// GroupID returns the number of a group.
	GroupID func(name string) (int, error)
}

func (s System) withDefaults() System {
	if s.CGroupRoot == "" {
		s.CGroupRoot = "/sys/fs/cgroup"
	}
	if s.CPURoot == "" {
		s.CPURoot = "/sys/devices/system/cpu"
	}
	if s.Run == nil {
		s.Run = run
	}
	if s.LookPath == nil {
		s.LookPath = exec.LookPath
	}
	if s.Owner == nil {
		s.Owner = owner
	}
	if s.Chown == nil {
		s.Chown = os.Chown
	}
	if s.GroupID == nil {
		s.GroupID = groupID
	}
	return s
}

func run(ctx context.Context, name string, arguments ...string) ([]byte, error) {
	output, err := exec.CommandContext(ctx, name, arguments...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return output, fmt.Errorf("run %s: %w: %s", name, err, bytes.TrimSpace(exit.Stderr))
	}
	if err != nil {
		return output, fmt.Errorf("run %s: %w", name, err)
	}
	return output, nil
}

func owner(path string) (int, error) {
	information, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return int(information.Sys().(*syscall.Stat_t).Uid), nil
}

func groupID(name string) (int, error) {
	group, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(group.Gid)
}
