// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"slapos/slap/testkit"
)

// The tests run in their own namespaces, so that the machine's networks and
// users stay unchanged: as root in new mount and network namespaces, as an
// ordinary user also in a new user namespace, in which that user is root.
const sandboxVariable = "SLAPOS_FORMAT_TEST_SANDBOX"

// What the process may do.
var (
	inSandbox bool // networks may be changed
	realRoot  bool // all user numbers exist
)

func TestMain(m *testing.M) {
	os.Setenv("PATH", testkit.AdministratorPath()) // for groupadd and its like
	switch os.Getenv(sandboxVariable) {
	case "":
		if testkit.HasNamespaces() {
			code, err := runInSandbox()
			if err != nil {
				fmt.Fprintln(os.Stderr, "run the tests in namespaces of their own:", err)
				os.Exit(1)
			}
			os.Exit(code)
		}
	case "root":
		inSandbox, realRoot = true, true
	default:
		inSandbox = true
	}
	if inSandbox {
		if err := setUp("lo"); err != nil {
			fmt.Fprintln(os.Stderr, "set lo up:", err)
			os.Exit(1)
		}
		// Mounts from here on are invisible outside.
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			fmt.Fprintln(os.Stderr, "make mounts private:", err)
			os.Exit(1)
		}
	}
	testkit.Main(m)
}

func setUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

// runInSandbox runs this test program again in new namespaces. The error says
// why there are none.
func runInSandbox() (code int, err error) {
	runtime.LockOSThread() // its end would be the child's, too
	command := exec.Command("/proc/self/exe", os.Args[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	flags := uintptr(syscall.CLONE_NEWNS | syscall.CLONE_NEWNET)
	kind := "root"
	attributes := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		kind = "user"
		flags |= syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	attributes.Cloneflags = flags
	command.SysProcAttr = attributes
	command.Env = append(os.Environ(), sandboxVariable+"="+kind)
	if err := command.Start(); err != nil {
		return 0, err
	}
	err = command.Wait()
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// needSandbox is for tests that change networks or mounts.
func needSandbox(t *testing.T) {
	t.Helper()
	if !inSandbox {
		t.Skip(testkit.NoNamespaces)
	}
}

// privateEtc replaces /etc with a copy of the files about users.
func privateEtc(t *testing.T) {
	t.Helper()
	needSandbox(t)
	directory := t.TempDir()
	for name, content := range map[string]string{
		"passwd":        "root:x:0:0:root:/root:/bin/sh\n",
		"group":         "root:x:0:\nshadow:x:0:\n",
		"shadow":        "root:*:19000:0:99999:7:::\n",
		"gshadow":       "root:*::\nshadow:*::\n",
		"nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\n",
		"os-release":    "ID=debian\nVERSION_ID=\"12\"\nNAME=\"Debian GNU/Linux\"\n",
	} {
		testkit.WriteFile(t, filepath.Join(directory, name), content)
	}
	for _, name := range []string{"login.defs", "pam.d/passwd", "pam.d/common-password", "pam.d/other"} {
		if content, err := os.ReadFile(filepath.Join("/etc", name)); err == nil {
			testkit.WriteFile(t, filepath.Join(directory, name), string(content))
		}
	}
	if err := syscall.Mount(directory, "/etc", "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount("/etc", syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// testLog discards the log.
func testLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
