// SPDX-License-Identifier: GPL-3.0-or-later

// Package cgroup keeps a control group (version 2) for each partition, so that
// one partition cannot use up the whole machine (D-12).
//
// The groups are slices with systemd's names:
//
//	/sys/fs/cgroup/slapos.slice/slapos-slappart3.slice
//
// node format makes them and sets their limits, by the changes between what
// [Hierarchy.Read] finds and what is wanted ([State.Prepare]). The supervisor
// starts services in the slice that [Hierarchy.Open] opens, if it exists. If
// the machine has no control groups of version 2 with the necessary
// controllers, [Hierarchy.Available] says so and nothing is done.
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

// controllers that limit partitions.
var controllers = []string{"cpu", "memory", "pids"}

func (h Hierarchy) root() string {
	if h.Root == "" {
		return "/sys/fs/cgroup"
	}
	return h.Root
}

func (h Hierarchy) top() string { return filepath.Join(h.root(), "slapos.slice") }

// Slice returns the directory of a partition's control group.
func (h Hierarchy) Slice(partition string) string {
	return filepath.Join(h.top(), "slapos-"+partition+".slice")
}

// Available reports whether partitions can be limited: nil, or what is missing.
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
	if err := unix.Access(h.root(), unix.W_OK); err != nil { // in a container, for example
		return fmt.Errorf("the control groups at %s cannot be changed: %w", h.root(), err)
	}
	// Unlike the machine's root, a container's must be empty to delegate
	// controllers.
	_, err = os.Stat(filepath.Join(h.root(), "cgroup.type"))
	if inContainer := err == nil; inContainer {
		if enabled, _ := os.ReadFile(filepath.Join(h.root(), "cgroup.subtree_control")); len(missing(string(enabled))) == 0 {
			return nil
		}
		if processes, _ := os.ReadFile(filepath.Join(h.root(), "cgroup.procs")); len(processes) > 0 {
			return fmt.Errorf("the control group at %s holds processes, so there can be no limits below it", h.root())
		}
	}
	return nil
}

// Open opens the slice of a partition, to start processes in it: their
// syscall.SysProcAttr has the descriptor as CgroupFD. The file is nil on an
// unprepared node.
func (h Hierarchy) Open(partition string) (*os.File, error) {
	slice, err := os.Open(h.Slice(partition))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return slice, err
}

// A Change is a difference between what is wanted and what exists: a directory
// to make or, if it has a value, a control file to write.
type Change struct{ Path, Value string }

// String returns the change as a command line.
func (c Change) String() string {
	if c.Value == "" {
		return "mkdir " + c.Path
	}
	return fmt.Sprintf("echo %s > %s", c.Value, c.Path)
}

// Apply makes the change.
func (c Change) Apply() error {
	if c.Value == "" {
		return os.MkdirAll(c.Path, 0o755)
	}
	return write(c.Path, c.Value)
}

// State is the part of a hierarchy on which its changes depend.
type State struct {
	Hierarchy Hierarchy
	// Entries are the existing directories, each with "", and the readable
	// control files, each with its content.
	Entries map[string]string
}

// Read reads what [State.PrepareTop] needs, and [State.Prepare] for these
// partitions.
func (h Hierarchy) Read(partitions []string) *State {
	s := &State{Hierarchy: h, Entries: map[string]string{}}
	for _, directory := range []string{h.root(), h.top()} {
		s.read(directory, "cgroup.subtree_control")
	}
	for _, partition := range partitions {
		files := []string{}
		for _, setting := range (Limits{}).settings() {
			files = append(files, setting.file)
		}
		s.read(h.Slice(partition), files...)
	}
	return s
}

func (s *State) read(directory string, files ...string) {
	if _, err := os.Stat(directory); err != nil {
		return
	}
	s.Entries[directory] = ""
	for _, name := range files {
		path := filepath.Join(directory, name)
		if content, err := os.ReadFile(path); err == nil {
			s.Entries[path] = strings.TrimSpace(string(content))
		}
	}
}

// PrepareTop returns the changes that come before the slices of partitions.
func (s *State) PrepareTop() []Change {
	h := s.Hierarchy
	return append(s.enable(h.root()), append(s.makeDirectory(h.top()), s.enable(h.top())...)...)
}

// Prepare returns the changes that give a partition its slice and limits.
func (s *State) Prepare(partition string, limits Limits) []Change {
	slice := s.Hierarchy.Slice(partition)
	changes := s.makeDirectory(slice)
	for _, setting := range limits.settings() {
		path := filepath.Join(slice, setting.file)
		present, found := s.Entries[path]
		if !found {
			present = setting.initial
		}
		if present != setting.value {
			changes = append(changes, Change{Path: path, Value: setting.value})
		}
	}
	return changes
}

// enable delegates the controllers to the groups below directory.
func (s *State) enable(directory string) []Change {
	path := filepath.Join(directory, "cgroup.subtree_control")
	missing := missing(s.Entries[path])
	if len(missing) == 0 {
		return nil
	}
	return []Change{{Path: path, Value: "+" + strings.Join(missing, " +")}}
}

func (s *State) makeDirectory(path string) []Change {
	if _, found := s.Entries[path]; found {
		return nil
	}
	return []Change{{Path: path}}
}

// missing returns the controllers that a group doesn't delegate.
func missing(enabled string) []string {
	return slices.DeleteFunc(slices.Clone(controllers), func(c string) bool { return slices.Contains(strings.Fields(enabled), c) })
}

// write does not create the file: the kernel makes all there are.
func write(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}
