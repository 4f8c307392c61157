// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

// GRID-30: a build has its owner's logins in its own home, and loses them when
// the owner does. The owner's home belongs to the test: it runs again where it
// can replace passwd.
func TestPassLogins(t *testing.T) {
	const marker = "SLAPOS_TEST_LOGINS"
	if os.Getenv(marker) == "" {
		words := []string{"--mount"}
		if os.Geteuid() != 0 {
			testkit.SeveralUsers(t)
			words = append(words, "--user", "--map-root-user", "--map-auto")
		}
		testkit.Namespaces(t)
		testkit.Program(t, "unshare", "util-linux")
		executable, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		command := exec.Command("unshare", append(words, executable)...)
		command.Env = append(os.Environ(), marker+"=1")
		testkit.RunAgain(t, command)
		return
	}
	home := testenv.Directory(t)
	testkit.HandOver(t, home)
	passwd := testkit.WriteFile(t, filepath.Join(t.TempDir(), "passwd"),
		fmt.Sprintf("root:x:0:0::/root:/bin/sh\nnobody:x:%d:%[1]d::%s:/bin/sh\n", testkit.User(), home))
	if err := unix.Mount(passwd, "/etc/passwd", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	netrc := testkit.WriteFile(t, filepath.Join(home, ".netrc"), "machine m login l password p\n")
	testkit.HandOver(t, netrc)

	n := newSoftwareNode(t)
	n.BuildWith("cp $HOME/.netrc seen")
	n.Want(slap.StateAvailable, testenv.Release)
	n.run(0)
	if got := testkit.ReadFile(t, n.Path(testenv.Release, "seen")); got != "machine m login l password p\n" {
		t.Errorf("the build saw %q", got)
	}
	copied := n.Path(testenv.Release, ".netrc")
	if info, err := os.Stat(copied); err != nil || info.Mode() != 0o600 || testkit.OwnerOf(t, copied) != testkit.User() {
		t.Errorf("%v, %v", info, err)
	}
	os.Remove(netrc)
	n.Pass.Force = true
	n.run(1)
	testkit.MustNotExist(t, copied)
}
