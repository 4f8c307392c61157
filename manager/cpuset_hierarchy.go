// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// cpuHierarchyV1 is the cpuset hierarchy of control groups version 1.
type cpuHierarchyV1 struct {
	root    string
	manager *cpuSet
}

func (h *cpuHierarchyV1) processors() ([]int, error) {
	return readProcessors(filepath.Join(h.root, "cpuset.cpus"))
}

func (h *cpuHierarchyV1) group(processor int) string {
	return filepath.Join(h.root, "cpu"+strconv.Itoa(processor))
}

// makeGroup also makes the list of processes if the kernel did not, which means
// that the directory only looks like a hierarchy (MGR-11).
func (h *cpuHierarchyV1) makeGroup(directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	tasks := filepath.Join(directory, "tasks")
	if exists(tasks) {
		return nil
	}
	return os.WriteFile(tasks, nil, 0o644)
}

func (h *cpuHierarchyV1) settings(processor int) []setting {
	return []setting{
		{file: "cpuset.cpus", value: strconv.Itoa(processor)},
		{file: "cpuset.cpu_exclusive", value: "1"},
		{file: "cpuset.mems", value: "0"},
	}
}

func (h *cpuHierarchyV1) members(directory string) ([]int, error) {
	return readProcesses(filepath.Join(directory, "tasks"))
}

// gather moves everything outside our groups to the first processor. The kernel
// refuses that for its own threads, which does not matter.
func (h *cpuHierarchyV1) gather() ([]int, error) {
	processors, err := h.processors()
	if err != nil {
		return nil, err
	}
	running, err := readProcesses(filepath.Join(h.root, "tasks"))
	if err != nil {
		return nil, err
	}
	slices.Sort(running)
	slices.Reverse(running)
	first := h.group(processors[0])
	refused := 0
	for _, process := range running {
		if writeControl(filepath.Join(first, "tasks"), strconv.Itoa(process)+"\n") != nil {
			refused++
		}
	}
	if refused < len(running) {
		h.manager.accelerate(processors[0])
	}
	h.manager.log.Debug("moved processes to the first processor", "moved", len(running)-refused, "refused", refused)
	shared, err := h.members(first)
	return append(running, shared...), err
}

func (h *cpuHierarchyV1) assign(process, processor int) error {
	if err := writeControl(filepath.Join(h.group(processor), "tasks"), strconv.Itoa(process)+"\n"); err != nil {
		return err
	}
	h.manager.accelerate(processor)
	return nil
}

// cpuHierarchyV2 is the single hierarchy of control groups version 2. Its
// groups are directly below the root, since only there can they become
// partitions.
type cpuHierarchyV2 struct {
	root    string
	manager *cpuSet
}

const partitionFile = "cpuset.cpus.partition"

func (h *cpuHierarchyV2) processors() ([]int, error) {
	return readProcessors(filepath.Join(h.manager.system.CPURoot, "online"))
}

func (h *cpuHierarchyV2) group(processor int) string {
	return filepath.Join(h.root, "cpu"+strconv.Itoa(processor))
}

func (h *cpuHierarchyV2) makeGroup(directory string) error {
	return os.MkdirAll(directory, 0o755)
}

func (h *cpuHierarchyV2) settings(processor int) []setting {
	return []setting{{file: "cpuset.cpus", value: strconv.Itoa(processor)}}
}

func (h *cpuHierarchyV2) members(directory string) ([]int, error) {
	return readProcesses(filepath.Join(directory, "cgroup.procs"))
}

// enable makes the cpuset controller available to the groups.
func (h *cpuHierarchyV2) enable(computer *Computer) {
	control := filepath.Join(h.root, "cgroup.subtree_control")
	enabled, err := os.ReadFile(control)
	if err == nil && slices.Contains(strings.Fields(string(enabled)), "cpuset") {
		return
	}
	computer.Do("write +cpuset to "+control, func(context.Context) error {
		return writeControl(control, "+cpuset")
	})
}

// gather returns the processors of empty groups to everyone.
func (h *cpuHierarchyV2) gather() ([]int, error) {
	processors, err := h.processors()
	if err != nil {
		return nil, err
	}
	for _, processor := range processors[1:] {
		state := filepath.Join(h.group(processor), partitionFile)
		content, err := os.ReadFile(state)
		if err != nil || strings.TrimSpace(string(content)) == "member" {
			continue
		}
		members, err := h.members(h.group(processor))
		if err != nil {
			return nil, err
		}
		if len(members) == 0 {
			if err := writeControl(state, "member"); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

func (h *cpuHierarchyV2) assign(process, processor int) error {
	group := h.group(processor)
	if err := writeControl(filepath.Join(group, "cgroup.procs"), strconv.Itoa(process)); err != nil {
		return err
	}
	h.manager.accelerate(processor)
	state := filepath.Join(group, partitionFile)
	err := writeControl(state, "root")
	content, readErr := os.ReadFile(state)
	if err := errors.Join(err, readErr); err != nil {
		return err
	}
	// The kernel accepts the word and only then reports whether it could do it.
	if got := strings.TrimSpace(string(content)); got != "root" {
		h.manager.log.Warn("processor is not exclusive", "processor", processor, "state", got)
	}
	return nil
}

func readProcessors(path string) ([]int, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	processors, err := parseProcessors(string(content))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return processors, nil
}

// readProcesses reads a list of process numbers, one per line.
func readProcesses(path string) ([]int, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var processes []int
	for _, field := range strings.Fields(string(content)) {
		process, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		processes = append(processes, process)
	}
	return processes, nil
}
