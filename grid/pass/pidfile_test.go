// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

func TestPIDFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slapgrid.pid")
	logger := slog.New(slog.DiscardHandler)

	held, err := TakePIDFile(path, logger)
	if err != nil {
		t.Fatal(err)
	}
	if content, _ := os.ReadFile(path); string(content) != strconv.Itoa(os.Getpid()) {
		t.Errorf("content %q", content)
	}
	var running *RunningError
	if _, err := TakePIDFile(path, logger); !errors.As(err, &running) || running.PID != os.Getpid() {
		t.Errorf("second taking: %v, want a RunningError with our pid", err)
	}
	held.Release()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("released file is still there: %v", err)
	}
}

// Another kind of agent takes no lock: its pid counts if that process is alive
// and called slapos (CLI-37).
func TestPIDFileOfOthers(t *testing.T) {
	start := func(name string) int {
		command := exec.Command("sleep", "600")
		command.Args[0] = name
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { command.Process.Kill(); command.Wait() })
		return command.Process.Pid
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		content string
		running bool
	}{
		"agent":     {strconv.Itoa(start("slapos-node")), true},
		"stranger":  {strconv.Itoa(start("unrelated")), false},
		"dead":      {strconv.Itoa(dead.Process.Pid), false},
		"text":      {"not a number", false},
		"empty":     {"", false},
		"our own":   {strconv.Itoa(os.Getpid()), false},
		"a newline": {strconv.Itoa(start("slapos")) + "\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pid")
			if err := os.WriteFile(path, []byte(test.content), 0o644); err != nil {
				t.Fatal(err)
			}
			held, err := TakePIDFile(path, slog.New(slog.DiscardHandler))
			var running *RunningError
			if got := errors.As(err, &running); got != test.running {
				t.Fatalf("error %v, running wanted %v", err, test.running)
			}
			if held == nil {
				if content, _ := os.ReadFile(path); string(content) != test.content {
					t.Errorf("overwritten with %q", content)
				}
				return
			}
			held.Release()
		})
	}
}

// A reused pid that belongs to another user isn't taken for an agent, whatever
// the process calls itself (GRID-108).
func TestPIDFileOfStrangers(t *testing.T) {
	testkit.Root(t)
	command := exec.Command("sleep", "600")
	command.Args[0] = "slapos"
	id := uint32(testkit.User())
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = command.Process.Kill(); _ = command.Wait() }()
	path := testkit.WriteFile(t, filepath.Join(t.TempDir(), "pid"), strconv.Itoa(command.Process.Pid))
	held, err := TakePIDFile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	held.Release()
}

// A number that was used again is a process that began after the file was written: one
// of ours, with slapos in its words, is no agent either (GRID-108).
func TestPIDFileOfAReusedNumber(t *testing.T) {
	command := exec.Command("sleep", "600")
	command.Args[0] = "slapos"
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = command.Process.Kill(); _ = command.Wait() }()
	path := testkit.WriteFile(t, filepath.Join(t.TempDir(), "pid"), strconv.Itoa(command.Process.Pid))
	written := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, written, written); err != nil {
		t.Fatal(err)
	}
	held, err := TakePIDFile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	held.Release()
}

// CLI-37.
func TestPIDFileNotWritable(t *testing.T) {
	if _, err := TakePIDFile(filepath.Join(t.TempDir(), "missing", "pid"), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("no error")
	}
}

// A pid that can't be written leaves no empty file.
func TestPIDFileFullDisk(t *testing.T) {
	if !testkit.InNamespace(t, syscall.CLONE_NEWNS) {
		return
	}
	directory := t.TempDir()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", directory, "tmpfs", 0, "size=4k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(directory, unix.MNT_DETACH)
	if err := os.WriteFile(filepath.Join(directory, "filler"), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, "pid")
	if held, err := TakePIDFile(path, slog.New(slog.DiscardHandler)); err == nil {
		t.Fatalf("%+v", held)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the file is left: %v", err)
	}
}
