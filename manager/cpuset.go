// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"slapos/slap/confined"
)

// cpuSet gives processes a processor each for themselves. Partitions whose user
// is in the option power_user_list name such processes in
// .slapos-cpu-exclusive, one number per line; those that find no free processor
// are written back for the next pass.
//
// Each processor N but the first has a control group cpuN. With control groups
// of version 1 everything else moves to the first processor (MGR-13); with
// version 2 a group becomes an exclusive partition while it holds a process,
// and the rest of the machine keeps all other processors (MGR-15).
type cpuSet struct {
	hooks
	log        *slog.Logger
	system     System
	powerUsers []string
}

const cpuRequest = ".slapos-cpu-exclusive"

func newCPUSet(config Config) Manager {
	return &cpuSet{
		log:        config.Logger,
		system:     config.System,
		powerUsers: strings.Fields(config.Options["power_user_list"]),
	}
}

func (*cpuSet) Name() string { return "cpuset" }

// cpuHierarchy abstracts the version of control groups that has the processors'
// groups.
type cpuHierarchy interface {
	// processors returns all processors; the first one is left to everyone.
	processors() ([]int, error)
	// group returns the directory of a processor's group.
	group(processor int) string
	makeGroup(directory string) error
	// settings returns the files to write when the group is made, in order.
	settings(processor int) []setting
	// members lists the processes in a group's directory.
	members(directory string) ([]int, error)
	// gather keeps other processes off exclusive processors, and returns those
	// that it finds there.
	gather() (running []int, err error)
	// assign moves a process to a processor's group.
	assign(process, processor int) error
}

type setting struct{ file, value string }

// hierarchy finds the machine's cpuset control groups; nil if there are none.
func (m *cpuSet) hierarchy() cpuHierarchy {
	v1 := filepath.Join(m.system.CGroupRoot, "cpuset")
	if exists(filepath.Join(v1, "cpuset.cpus")) {
		return &cpuHierarchyV1{root: v1, manager: m}
	}
	controllers, err := os.ReadFile(filepath.Join(m.system.CGroupRoot, "cgroup.controllers"))
	if err == nil && slices.Contains(strings.Fields(string(controllers)), "cpuset") {
		return &cpuHierarchyV2{root: m.system.CGroupRoot, manager: m}
	}
	return nil
}

// Format makes the groups of the processors (MGR-11).
func (m *cpuSet) Format(_ context.Context, computer *Computer) error {
	hierarchy := m.hierarchy()
	if hierarchy == nil {
		m.log.Warn("CPUSet Manager cannot format computer because cgroups do not exist.")
		return nil
	}
	processors, err := hierarchy.processors()
	if err != nil {
		return err
	}
	if v2, is := hierarchy.(*cpuHierarchyV2); is {
		v2.enable(computer)
	}
	for _, processor := range processors {
		group := hierarchy.group(processor)
		if !exists(group) {
			computer.Do("make control group "+group, func(context.Context) error {
				return hierarchy.makeGroup(group)
			})
		}
		for _, setting := range hierarchy.settings(processor) {
			setting.file = filepath.Join(group, setting.file)
			if present, err := os.ReadFile(setting.file); err == nil && strings.TrimSpace(string(present)) == setting.value {
				continue
			}
			computer.Do(fmt.Sprintf("write %s to %s", setting.value, setting.file), func(context.Context) error {
				return os.WriteFile(setting.file, []byte(setting.value), 0o644)
			})
		}
	}
	return nil
}

// Instance moves the processes that the partition requests (MGR-12, MGR-13).
func (m *cpuSet) Instance(_ context.Context, partition *Partition) error {
	hierarchy := m.hierarchy()
	if hierarchy == nil || !exists(hierarchy.group(0)) {
		m.log.Warn("CGROUP's CPUSET Manager cannot update computer because it is not cpuset-formatted.")
		return nil
	}
	directory, end, err := partition.directory()
	if err != nil {
		return err
	}
	defer end()
	request, info, err := directory.ReadFile(cpuRequest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || len(bytes.TrimSpace(request)) == 0 {
		return err
	}
	if !slices.Contains(m.powerUsers, partition.User) {
		m.log.Warn(fmt.Sprintf("User %s not allowed to modify cpuset! Allowed users are in power_user_list option in config file.", partition.User))
		return nil
	}
	waiting, err := m.place(hierarchy, m.requested(partition, request))
	if err != nil {
		return err
	}
	var rest strings.Builder
	for _, process := range waiting {
		fmt.Fprintln(&rest, process)
	}
	// The file stays the user's. It is written anew, since the old one may be a
	// hard link to somebody else's file.
	own := confined.Attributes{Mode: info.Mode().Perm(), UID: directory.UID, GID: directory.GID}
	return directory.Write(cpuRequest, []byte(rest.String()), own)
}

// requested reads the numbers of the request, and warns of anything else.
func (m *cpuSet) requested(partition *Partition, request []byte) []int {
	var processes []int
	for _, field := range strings.Fields(string(request)) {
		process, err := strconv.Atoi(field)
		if err != nil || process <= 0 {
			m.log.Warn("cpuset request names no process", "partition", partition.ID, "entry", field)
			continue
		}
		processes = append(processes, process)
	}
	return processes
}

// place gives each process its own processor while there are any, and returns
// those that must wait.
func (m *cpuSet) place(hierarchy cpuHierarchy, processes []int) (waiting []int, err error) {
	processors, err := hierarchy.processors()
	if err != nil {
		return nil, err
	}
	running, err := hierarchy.gather()
	if err != nil {
		return nil, err
	}
	var free, exclusive []int
	for _, processor := range processors[1:] {
		members, err := hierarchy.members(hierarchy.group(processor))
		if err != nil {
			return nil, err
		}
		if len(members) == 0 {
			free = append(free, processor)
		}
		exclusive = append(exclusive, members...)
	}
	for _, process := range processes {
		if slices.Contains(exclusive, process) && !slices.Contains(running, process) {
			continue
		}
		if len(free) == 0 {
			waiting = append(waiting, process)
			continue
		}
		err := hierarchy.assign(process, free[0])
		if errors.Is(err, syscall.ESRCH) {
			m.log.Warn("process that asked for a processor of its own is gone", "process", process)
			continue
		}
		if errors.Is(err, syscall.EINVAL) { // a kernel thread
			m.log.Warn("process cannot be given a processor of its own", "process", process)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("give processor %d to process %d: %w", free[0], process, err)
		}
		exclusive, free = append(exclusive, process), free[1:]
	}
	return waiting, nil
}

// accelerate requests full speed of a processor (MGR-14).
func (m *cpuSet) accelerate(processor int) {
	governor := filepath.Join(m.system.CPURoot, fmt.Sprintf("cpu%d", processor), "cpufreq", "scaling_governor")
	if !exists(governor) {
		return
	}
	if err := writeControl(governor, "performance\n"); err != nil {
		m.log.Error(fmt.Sprintf("Failed to write \"performance\" to %s", governor), "error", err)
	}
}

// parseProcessors reads the kernel's list of numbers: 0-3, 0,2,4 or a mixture.
func parseProcessors(text string) ([]int, error) {
	var processors []int
	for part := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err := errors.Join(err, err2); err != nil || last < first {
			return nil, fmt.Errorf("%q is not a list of processors", text)
		}
		for processor := first; processor <= last; processor++ {
			processors = append(processors, int(processor))
		}
	}
	return processors, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// writeControl writes to a kernel file, which must exist.
func writeControl(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}
