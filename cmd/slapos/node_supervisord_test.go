// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"slapos/grid/supervisor"
	"slapos/slap/testkit"
)

// TestSecondSupervisor: one more supervisor in the foreground says that there is one,
// waits, and is the next; a unit of systemd stops the one that it stands for (CLI-132).
func TestSecondSupervisor(t *testing.T) {
	folder, err := os.MkdirTemp("", "second") // a short path for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	program := filepath.Join(folder, "slapos")
	if err := copyFile(testProgram(t), program); err != nil {
		t.Fatal(err)
	}
	configuration := testkit.WriteFile(t, folder+"/slapos.cfg", "[slapos]\nroot_check = false\ninstance_root = "+folder+"/inst\n")
	layout := supervisor.Layout{InstanceRoot: folder + "/inst"}
	if err := os.Mkdir(folder+"/inst", 0o755); err != nil {
		t.Fatal(err)
	}
	start := func(environment ...string) (*exec.Cmd, *syncedText) {
		t.Helper()
		told := &syncedText{}
		command := exec.Command(program, "node", "supervisord", "--nodaemon", "--cfg", configuration)
		command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder}, environment...)
		command.Stderr = told
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = command.Process.Kill() })
		return command, told
	}
	runs := func(command *exec.Cmd) {
		t.Helper()
		testkit.Eventually(t, testkit.Patience, "the supervisor answers", func() bool {
			pid, err := supervisor.Running(t.Context(), layout)
			return err == nil && pid == command.Process.Pid
		})
	}
	says := func(told *syncedText, first *exec.Cmd, words string) {
		t.Helper()
		want := "A supervisor is running already (process " + strconv.Itoa(first.Process.Pid) + "): this one waits until it ends" + words + "\n"
		testkit.Eventually(t, testkit.Patience, "the second one says that it waits", func() bool { return strings.HasSuffix(told.String(), want) })
	}
	first, _ := start()
	runs(first)
	second, told := start()
	says(told, first, "")
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	runs(second)

	bystander, told := start()
	says(told, second, "")
	if err := bystander.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := bystander.Wait(); err != nil {
		t.Errorf("one that waited: %v\n%s", err, told)
	}
	runs(second)

	unit, told := start("INVOCATION_ID=1")
	says(told, second, ", and stops it when it is told to stop")
	ended := make(chan error, 1)
	go func() { ended <- second.Wait() }()
	if err := unit.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := unit.Wait(); err != nil {
		t.Errorf("a unit: %v\n%s", err, told)
	}
	<-ended
	if pid, err := supervisor.Running(t.Context(), layout); pid != 0 || err != nil {
		t.Errorf("%d runs, %v", pid, err)
	}
}
