// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

func TestParseProcessors(t *testing.T) {
	for text, want := range map[string][]int{
		"0-3\n":   {0, 1, 2, 3},
		"0,2,4":   {0, 2, 4},
		"1,4-5,7": {1, 4, 5, 7},
		"":        nil,
		"3-1":     nil,
		"a":       nil,
		"0-99999": nil,
	} {
		got, err := parseProcessors(text)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("parseProcessors(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
}

func FuzzParseProcessors(f *testing.F) {
	f.Add("0-3,5")
	f.Fuzz(func(t *testing.T, text string) {
		if processors, err := parseProcessors(text); err == nil && len(processors) == 0 {
			t.Errorf("%q: neither processors nor error", text)
		}
	})
}

// format runs the Format hook and, unless dry, the changes that it adds.
func format(t *testing.T, m Manager, dry bool) []string {
	t.Helper()
	var plan []string
	err := m.Format(t.Context(), &Computer{Do: func(description string, apply func(context.Context) error) {
		plan = append(plan, description)
		if dry {
			return
		}
		if err := apply(t.Context()); err != nil {
			t.Fatalf("%s: %v", description, err)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// MGR-10, MGR-11.
func TestCPUSetFormatV1(t *testing.T) {
	root := t.TempDir()
	testkit.WriteFile(t, filepath.Join(root, "cpuset/cpuset.cpus"), "0-1\n")
	m, _ := newManager(t, "cpuset", Config{System: System{CGroupRoot: root}})
	if plan := format(t, m, true); len(plan) != 8 || exists(filepath.Join(root, "cpuset/cpu0")) {
		t.Errorf("dry plan %q", plan)
	}
	format(t, m, false)
	for name, want := range map[string]string{
		"cpu0/cpuset.cpus": "0", "cpu0/cpuset.cpu_exclusive": "1", "cpu0/cpuset.mems": "0", "cpu0/tasks": "",
		"cpu1/cpuset.cpus": "1", "cpu1/cpuset.cpu_exclusive": "1", "cpu1/cpuset.mems": "0", "cpu1/tasks": "",
	} {
		if got := testkit.ReadFile(t, filepath.Join(root, "cpuset", name)); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	if plan := format(t, m, false); len(plan) != 0 {
		t.Errorf("second plan %q", plan)
	}
}

// MGR-10, MGR-11, MGR-12.
func TestCPUSetWithoutCGroups(t *testing.T) {
	m, log := newManager(t, "cpuset", Config{System: System{CGroupRoot: t.TempDir()}})
	if plan := format(t, m, false); len(plan) != 0 {
		t.Errorf("plan %q", plan)
	}
	if !strings.Contains(log.String(), "CPUSet Manager cannot format computer because cgroups do not exist.") {
		t.Errorf("log %s", log)
	}
	if err := m.Instance(t.Context(), newPartition(t, map[string]string{cpuRequest: "1"})); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "not cpuset-formatted") {
		t.Errorf("log %s", log)
	}
}

// A hierarchy of plain files: tasks holds only what was written last.
func newTreeV1(t *testing.T, processors int, tasks string) (root string) {
	root = t.TempDir()
	testkit.WriteFile(t, filepath.Join(root, "cpuset/cpuset.cpus"), fmt.Sprintf("0-%d\n", processors-1))
	testkit.WriteFile(t, filepath.Join(root, "cpuset/tasks"), tasks)
	for i := range processors {
		testkit.WriteFile(t, filepath.Join(root, "cpuset", fmt.Sprintf("cpu%d", i), "tasks"), "")
		testkit.WriteFile(t, filepath.Join(root, "cpu", fmt.Sprintf("cpu%d", i), "cpufreq/scaling_governor"), "powersave\n")
	}
	return root
}

// MGR-13, MGR-14.
func TestCPUSetInstanceV1(t *testing.T) {
	root := newTreeV1(t, 2, "101\n102\n")
	m, _ := newManager(t, "cpuset", Config{
		Options: map[string]string{"power_user_list": "someone slapuser3"},
		System:  System{CGroupRoot: root, CPURoot: filepath.Join(root, "cpu")},
	})
	partition := newPartition(t, map[string]string{cpuRequest: "101 102\nabc\n"})
	if err := m.Instance(t.Context(), partition); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"cpuset/cpu0/tasks": "101\n", "cpuset/cpu1/tasks": "101\n",
		"cpu/cpu0/cpufreq/scaling_governor": "performance\n", "cpu/cpu1/cpufreq/scaling_governor": "performance\n",
	} {
		if got := testkit.ReadFile(t, filepath.Join(root, name)); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	if got := testkit.ReadFile(t, filepath.Join(partition.Path, cpuRequest)); got != "102\n" {
		t.Errorf("left in the request: %q", got)
	}
}

// MGR-13: a running process without its own processor gets the first free one;
// a process that has one elsewhere is dropped from the request.
func TestCPUSetExclusive(t *testing.T) {
	root := newTreeV1(t, 4, "101\n")
	testkit.WriteFile(t, filepath.Join(root, "cpuset/cpu1/tasks"), "55\n")
	m, _ := newManager(t, "cpuset", Config{
		Options: map[string]string{"power_user_list": "slapuser3"},
		System:  System{CGroupRoot: root, CPURoot: filepath.Join(root, "cpu")},
	})
	partition := newPartition(t, map[string]string{cpuRequest: "55 101 77 78\n"})
	if err := m.Instance(t.Context(), partition); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"cpu0": "101\n", "cpu1": "55\n", "cpu2": "101\n", "cpu3": "77\n"} {
		if got := testkit.ReadFile(t, filepath.Join(root, "cpuset", name, "tasks")); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	if got := testkit.ReadFile(t, filepath.Join(partition.Path, cpuRequest)); got != "78\n" {
		t.Errorf("left in the request: %q", got)
	}
}

// MGR-12.
func TestCPUSetNotAllowed(t *testing.T) {
	root := newTreeV1(t, 2, "101\n")
	m, log := newManager(t, "cpuset", Config{System: System{CGroupRoot: root}})
	if err := m.Instance(t.Context(), newPartition(t, map[string]string{cpuRequest: "101\n"})); err != nil {
		t.Fatal(err)
	}
	if got := testkit.ReadFile(t, filepath.Join(root, "cpuset/cpu1/tasks")); got != "" {
		t.Errorf("cpu1 holds %q", got)
	}
	if !strings.Contains(log.String(), "User slapuser3 not allowed to modify cpuset!") {
		t.Errorf("log %s", log)
	}
	// Without a request there is no message.
	log.Reset()
	if err := m.Instance(t.Context(), newPartition(t, nil)); err != nil || log.Len() > 0 {
		t.Errorf("error %v, log %s", err, log)
	}
}

// MGR-15.
func TestCPUSetV2(t *testing.T) {
	root := t.TempDir()
	testkit.WriteFile(t, filepath.Join(root, "cgroup.controllers"), "cpuset cpu memory\n")
	testkit.WriteFile(t, filepath.Join(root, "cgroup.subtree_control"), "cpu\n")
	testkit.WriteFile(t, filepath.Join(root, "cpu/online"), "0-2\n")
	m, _ := newManager(t, "cpuset", Config{
		Options: map[string]string{"power_user_list": "slapuser3"},
		System:  System{CGroupRoot: root, CPURoot: filepath.Join(root, "cpu")},
	})
	format(t, m, false)
	if got := testkit.ReadFile(t, filepath.Join(root, "cgroup.subtree_control")); got != "+cpuset" {
		t.Errorf("cgroup.subtree_control was written %q", got)
	}
	for i := range 3 { // as the kernel would create them
		group := filepath.Join(root, fmt.Sprintf("cpu%d", i))
		if got, want := testkit.ReadFile(t, filepath.Join(group, "cpuset.cpus")), fmt.Sprint(i); got != want {
			t.Errorf("%s: cpuset.cpus holds %q", group, got)
		}
		testkit.WriteFile(t, filepath.Join(group, "cgroup.procs"), "")
		testkit.WriteFile(t, filepath.Join(group, partitionFile), "member\n")
	}
	testkit.WriteFile(t, filepath.Join(root, "cpu1", partitionFile), "root\n") // its process has ended
	testkit.WriteFile(t, filepath.Join(root, "cpu2/cgroup.procs"), "55\n")
	testkit.WriteFile(t, filepath.Join(root, "cpu2", partitionFile), "root\n")

	partition := newPartition(t, map[string]string{cpuRequest: "101 55 102\n"})
	if err := m.Instance(t.Context(), partition); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"cpu1/cgroup.procs": "101", "cpu1/" + partitionFile: "root",
		"cpu2/cgroup.procs": "55\n", "cpu2/" + partitionFile: "root\n",
	} {
		if got := testkit.ReadFile(t, filepath.Join(root, name)); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	if got := testkit.ReadFile(t, filepath.Join(partition.Path, cpuRequest)); got != "102\n" {
		t.Errorf("left in the request: %q", got)
	}
	// The processor of an empty group returns to everyone.
	testkit.WriteFile(t, filepath.Join(root, "cpu2/cgroup.procs"), "")
	if _, err := (&cpuHierarchyV2{root: root, manager: m.(*cpuSet)}).gather(); err != nil {
		t.Fatal(err)
	}
	if got := testkit.ReadFile(t, filepath.Join(root, "cpu2", partitionFile)); got != "member" {
		t.Errorf("cpu2 is %q", got)
	}
}

// With the kernel's own hierarchy: a sleeping process gets a processor, a dead
// one is dropped. The test only touches groups that it made, as root. MGR-13.
func TestCPUSetKernelV1(t *testing.T) {
	const kernel = "/sys/fs/cgroup/cpuset"
	testkit.Root(t)
	if !exists(kernel + "/cpuset.cpus") {
		testkit.StepAside(t, "a cpuset hierarchy of version 1", "mount it on %s", kernel)
	}
	cpus, mems := testkit.ReadFile(t, kernel+"/cpuset.cpus"), testkit.ReadFile(t, kernel+"/cpuset.mems")
	mount := t.TempDir()
	root := filepath.Join(kernel, fmt.Sprintf("slapos-test-%d", os.Getpid()))
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(root) })
	if err := os.Symlink(root, filepath.Join(mount, "cpuset")); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"cpuset.cpus": cpus, "cpuset.mems": mems} {
		if err := writeControl(filepath.Join(root, name), strings.TrimSpace(value)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeControl(filepath.Join(root, "cpuset.cpu_exclusive"), "1"); err != nil {
		testkit.StepAside(t, "processors that nobody has for himself", "see cpuset.cpu_exclusive below %s", kernel)
	}
	sleeper := exec.Command("sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	m, log := newManager(t, "cpuset", Config{
		Options: map[string]string{"power_user_list": "slapuser3"},
		System:  System{CGroupRoot: mount, CPURoot: t.TempDir()},
	})
	h := &cpuHierarchyV1{root: filepath.Join(mount, "cpuset"), manager: m.(*cpuSet)}
	processors, err := h.processors()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = sleeper.Process.Kill()
		_ = sleeper.Wait() // it was killed
		for _, processor := range processors {
			os.Remove(h.group(processor))
		}
	})
	format(t, m, false)
	if plan := format(t, m, true); len(plan) != 0 {
		t.Errorf("second plan %q", plan)
	}
	if len(processors) < 2 {
		testkit.StepAside(t, "two processors", "use another machine")
	}
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	request := fmt.Sprintf("%d %d\n", gone.Process.Pid, sleeper.Process.Pid)
	kernels, _ := os.ReadFile("/proc/2/comm")
	if string(kernels) == "kthreadd\n" {
		request = "2 " + request
	}
	partition := newPartition(t, map[string]string{cpuRequest: request})
	if err := m.Instance(t.Context(), partition); err != nil {
		t.Fatal(err)
	}
	members, err := h.members(h.group(processors[1]))
	if err != nil || !slices.Contains(members, sleeper.Process.Pid) {
		t.Errorf("processor %d holds %v (%v), want %d", processors[1], members, err, sleeper.Process.Pid)
	}
	if got := testkit.ReadFile(t, filepath.Join(partition.Path, cpuRequest)); got != "" {
		t.Errorf("left in the request: %q", got)
	}
	if !strings.Contains(log.String(), "is gone") || strings.HasPrefix(request, "2 ") && !strings.Contains(log.String(), "cannot be given") {
		t.Errorf("log %s", log)
	}
}
