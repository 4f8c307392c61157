// SPDX-License-Identifier: GPL-3.0-or-later

package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"slapos/slap/testkit"
)

func TestAvailable(t *testing.T) {
	root := t.TempDir()
	h := Hierarchy{Root: root}
	for content, want := range map[string]bool{"": false, "cpu io memory\n": false, "cpuset cpu io memory pids\n": true} {
		testkit.WriteFile(t, filepath.Join(root, "cgroup.controllers"), content)
		if err := h.Available(); (err == nil) != want {
			t.Errorf("%q: %v", content, err)
		}
	}
	if err := (Hierarchy{Root: filepath.Join(root, "none")}).Available(); err == nil {
		t.Error("no error without control groups")
	}
	// A container's root with processes in it.
	container := t.TempDir()
	for name, content := range map[string]string{"cgroup.controllers": "cpu memory pids\n", "cgroup.type": "domain\n", "cgroup.procs": "1\n", "cgroup.subtree_control": "\n"} {
		testkit.WriteFile(t, filepath.Join(container, name), content)
	}
	if err := (Hierarchy{Root: container}).Available(); err == nil || !strings.Contains(err.Error(), "holds processes") {
		t.Errorf("error %v", err)
	}
	testkit.WriteFile(t, filepath.Join(container, "cgroup.procs"), "")
	if err := (Hierarchy{Root: container}).Available(); err != nil {
		t.Error(err)
	}
}

// fakeKernel makes the files that the kernel would make in a new group.
func fakeKernel(t *testing.T, directory string) {
	for name, content := range map[string]string{"memory.max": "max\n", "cpu.weight": "100\n", "pids.max": "max\n", "cgroup.procs": "", "cgroup.subtree_control": "\n"} {
		testkit.WriteFile(t, filepath.Join(directory, name), content)
	}
}

func TestPrepare(t *testing.T) {
	root := t.TempDir()
	testkit.WriteFile(t, filepath.Join(root, "cgroup.subtree_control"), "cpu\n")
	h := Hierarchy{Root: root}
	prepare := func(limits Limits) (done []string) {
		t.Helper()
		for _, step := range []func(*State) []Change{(*State).PrepareTop, func(s *State) []Change { return s.Prepare("slappart0", limits) }} {
			for _, change := range step(h.Read([]string{"slappart0"})) {
				done = append(done, strings.ReplaceAll(change.String(), root, ""))
				if err := change.Apply(); err != nil {
					t.Fatal(err)
				}
				if change.Value == "" {
					fakeKernel(t, change.Path)
				}
			}
			// The kernel shows enabled controllers without signs.
			for _, directory := range []string{root, h.top()} {
				testkit.WriteFile(t, filepath.Join(directory, "cgroup.subtree_control"), "cpu memory pids\n")
			}
		}
		return done
	}
	slice := "/slapos.slice/slapos-slappart0.slice"
	for i, step := range []struct {
		limits Limits
		want   []string
	}{
		{Limits{MemoryMax: 1 << 30, PIDsMax: 500}, []string{"echo +memory +pids > /cgroup.subtree_control", "mkdir /slapos.slice", "echo +cpu +memory +pids > /slapos.slice/cgroup.subtree_control",
			"mkdir " + slice, "echo 1073741824 > " + slice + "/memory.max", "echo 500 > " + slice + "/pids.max"}},
		{Limits{MemoryMax: 1 << 30, PIDsMax: 500}, nil},
		{Limits{MemoryMax: 1 << 30, CPUWeight: 50}, []string{"echo 50 > " + slice + "/cpu.weight", "echo max > " + slice + "/pids.max"}},
		{Limits{}, []string{"echo max > " + slice + "/memory.max", "echo 100 > " + slice + "/cpu.weight"}},
	} {
		if got := prepare(step.limits); !slices.Equal(got, step.want) {
			t.Errorf("step %d:\n%q\nwant\n%q", i, got, step.want)
		}
	}
	if slice, err := h.Open("slappart0"); err != nil || slice.Close() != nil {
		t.Error(err)
	}
	if slice, err := h.Open("slappart1"); err != nil || slice != nil {
		t.Errorf("a partition without slice: %v, %v", slice, err)
	}
}

// The kernel's own hierarchy starts a process in a slice. The test removes what
// it makes there; it needs no controllers.
func TestKernelStart(t *testing.T) {
	testkit.Root(t)
	root := testkit.UnifiedHierarchy(t)
	if root == "" {
		testkit.StepAside(t, "control groups of version 2", "mount them, writable")
	}
	own := filepath.Join(root, fmt.Sprintf("slapos-test-%d", os.Getpid()))
	h := Hierarchy{Root: own}
	if err := os.MkdirAll(h.Slice("slappart0"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, directory := range []string{h.Slice("slappart0"), h.top(), own} {
			if err := syscall.Rmdir(directory); err != nil {
				t.Error(err)
			}
		}
	})
	slice, err := h.Open("slappart0")
	if err != nil {
		t.Fatal(err)
	}
	defer slice.Close()
	command := exec.Command("cat", "/proc/self/cgroup")
	command.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(slice.Fd())}
	output, err := command.Output()
	if err != nil || !strings.Contains(string(output), "0::"+strings.TrimPrefix(h.Slice("slappart0"), root)+"\n") {
		t.Errorf("process was in %q, %v", output, err)
	}
}

func TestLimits(t *testing.T) {
	tests := []struct {
		options map[string]string
		want    Limits
		bad     bool
	}{
		{options: nil, want: Limits{MemoryMax: 1, CPUWeight: 2, PIDsMax: 3}},
		{options: map[string]string{"memory_max": "512M", "cpu_weight": "10000", "pids_max": "1"}, want: Limits{MemoryMax: 512 << 20, CPUWeight: 10000, PIDsMax: 1}},
		{options: map[string]string{"memory_max": " 2g ", "cpu_weight": "", "pids_max": "max"}, want: Limits{MemoryMax: 2 << 30, CPUWeight: 0, PIDsMax: 0}},
		{options: map[string]string{"memory_max": "max"}, want: Limits{MemoryMax: 0, CPUWeight: 2, PIDsMax: 3}},
		{options: map[string]string{"memory_max": "4096"}, want: Limits{MemoryMax: 4096, CPUWeight: 2, PIDsMax: 3}},
		{options: map[string]string{"memory_max": "1T"}, want: Limits{MemoryMax: 1 << 40, CPUWeight: 2, PIDsMax: 3}},
		{options: map[string]string{"memory_max": "1KM"}, bad: true},
		{options: map[string]string{"memory_max": "M"}, bad: true},
		{options: map[string]string{"memory_max": "-1"}, bad: true},
		{options: map[string]string{"memory_max": "0"}, bad: true},
		{options: map[string]string{"memory_max": "99999999999999T"}, bad: true},
		{options: map[string]string{"cpu_weight": "0"}, bad: true},
		{options: map[string]string{"cpu_weight": "10001"}, bad: true},
		{options: map[string]string{"pids_max": "many"}, bad: true},
	}
	for _, test := range tests {
		got, err := Limits{MemoryMax: 1, CPUWeight: 2, PIDsMax: 3}.With(test.options)
		if (err != nil) != test.bad || err == nil && got != test.want {
			t.Errorf("%v: %+v, %v", test.options, got, err)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	f.Add("512M")
	f.Fuzz(func(t *testing.T, text string) {
		if value, err := parseSize(text); err == nil && value == 0 && strings.ContainsAny(text, "123456789") {
			t.Errorf("%q is no limit", text)
		}
	})
}
