// SPDX-License-Identifier: GPL-3.0-or-later

// Package cgroup keeps one control group (version 2) for each partition, so
// that what runs in one partition cannot take the whole machine (D-12).
//
// The groups are slices named as systemd names them:
//
//	/sys/fs/cgroup/slapos.slice/slapos-slappart3.slice
//
// node format makes them and sets their limits by the changes that
// [Hierarchy.Prepare] returns. The supervisor starts services in the slice that
// [Hierarchy.Open] opens, if there is one. Where the machine has no control
// groups of version 2 with the controllers needed, [Hierarchy.Available] says so
// and nothing is done.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Hierarchy is the unified hierarchy, mounted at Root; empty means
// /sys/fs/cgroup.
type Hierarchy struct{ Root string }

// controllers that partitions are limited by.
var controllers = []string{"cpu", "memory", "pids"}

func (h Hierarchy) root() string {
	if h.Root == "" {
		return "/sys/fs/cgroup"
	}
	return h.Root
}

func (h Hierarchy) top() string { return filepath.Join(h.root(), "slapos.slice") }

// Slice is the directory of a partition's control group.
func (h Hierarchy) Slice(partition string) string {
	return filepath.Join(h.top(), "slapos-"+partition+".slice")
}

// Available tells whether partitions can be limited: nil, or what is missing.
func (h Hierarchy) Available() error {
	content, err := os.ReadFile(filepath.Join(h.root(), "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("no control groups of version 2 at %s", h.root())
	}
	for _, controller := range controllers {
		if !slices.Contains(strings.Fields(string(content)), controller) {
			return fmt.Errorf("the control groups at %s have no %s controller", h.root(), controller)
		}
	}
	if err := unix.Access(h.root(), unix.W_OK); err != nil { // in a container, say
		return fmt.Errorf("the control groups at %s cannot be changed: %w", h.root(), err)
	}
	// Other than the machine's root, that of a container must be empty to pass
	// controllers on.
	_, err = os.Stat(filepath.Join(h.root(), "cgroup.type"))
	if inContainer := err == nil; inContainer && len(missing(h.root())) > 0 {
		if processes, _ := os.ReadFile(filepath.Join(h.root(), "cgroup.procs")); len(processes) > 0 {
			return fmt.Errorf("the control group at %s holds processes, so there can be no limits below it", h.root())
		}
	}
	return nil
}

// Open opens the slice of a partition, for starting processes in it: their
// syscall.SysProcAttr has the descriptor as CgroupFD. The file is nil on a node
// that was not prepared.
func (h Hierarchy) Open(partition string) (*os.File, error) {
	slice, err := os.Open(h.Slice(partition))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return slice, err
}

// A Change is one difference between what is wanted and what is there.
type Change struct {
	Description string // as a command line
	Apply       func() error
}

// PrepareTop returns what must be done before the slices of partitions.
func (h Hierarchy) PrepareTop() []Change {
	return append(h.enable(h.root()), append(makeDirectory(h.top()), h.enable(h.top())...)...)
}

// Prepare returns what must be done to give a partition its slice and limits.
func (h Hierarchy) Prepare(partition string, limits Limits) []Change {
	slice := h.Slice(partition)
	changes := makeDirectory(slice)
	for _, setting := range limits.settings() {
		path := filepath.Join(slice, setting.file)
		content, err := os.ReadFile(path)
		present := setting.initial
		if err == nil {
			present = strings.TrimSpace(string(content))
		}
		if present != setting.value {
			changes = append(changes, writing(path, setting.value))
		}
	}
	return changes
}

// enable passes the controllers on to the groups below directory.
func (h Hierarchy) enable(directory string) []Change {
	missing := missing(directory)
	if len(missing) == 0 {
		return nil
	}
	return []Change{writing(filepath.Join(directory, "cgroup.subtree_control"), "+"+strings.Join(missing, " +"))}
}

// missing are the controllers that a group does not pass on.
func missing(directory string) []string {
	content, _ := os.ReadFile(filepath.Join(directory, "cgroup.subtree_control"))
	enabled := strings.Fields(string(content))
	return slices.DeleteFunc(slices.Clone(controllers), func(c string) bool { return slices.Contains(enabled, c) })
}

func makeDirectory(path string) []Change {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return []Change{{"mkdir " + path, func() error { return os.MkdirAll(path, 0o755) }}}
}

func writing(path, value string) Change {
	return Change{fmt.Sprintf("echo %s > %s", value, path), func() error { return write(path, value) }}
}

// write does not create the file: the kernel makes all that there are.
func write(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}
