// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

// GRID-101: a partition gets the content of its release's directory, which
// belongs to the owner of software_root, and nothing that its builder puts in
// its place.
func TestPassReleaseExchanged(t *testing.T) {
	testkit.Root(t)
	for name, test := range map[string]struct {
		put  func(t *testing.T, release, secret string)
		want string
	}{
		"link": {func(t *testing.T, release, secret string) {
			if err := os.Symlink(secret, release); err != nil {
				t.Fatal(err)
			}
		}, "is a link"},
		"link through a process": {func(t *testing.T, release, secret string) {
			if err := os.Symlink("/proc/self/root"+secret, release); err != nil {
				t.Fatal(err)
			}
		}, "is a link"},
		"another user's": {func(t *testing.T, release, secret string) {
			if err := errors.Join(os.Rename(secret, release), os.Chown(release, 29998, 29998)); err != nil {
				t.Fatal(err)
			}
		}, "belongs to user 29998"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newInstanceNode(t, "slappart0")
			n.DeployWith("echo ran > log")
			release := n.Path(testenv.Release)
			testkit.HandOver(t, n.Pass.SoftwareRoot)
			secret := filepath.Join(n.Base(), "secret")
			testkit.WriteFile(t, filepath.Join(secret, "instance.cfg"), "[secret]\n")
			if err := errors.Join(os.Chmod(secret, 0o700), os.Rename(release, release+".own")); err != nil {
				t.Fatal(err)
			}
			test.put(t, release, secret)
			n.process(1)
			if !strings.Contains(n.Log.String(), test.want) {
				t.Errorf("log\n%s", n.Log)
			}
			if content, err := os.ReadFile(n.At("slappart0", "buildout.cfg")); err == nil && strings.Contains(string(content), "secret") {
				t.Errorf("buildout.cfg holds\n%s", content)
			}
			testkit.MustNotExist(t, n.At("slappart0", "log"))
		})
	}
}

// GRID-101: a partition is in its place, or where a link that root owns leads.
func TestPassPartitionLinks(t *testing.T) {
	testkit.Root(t)
	for name, test := range map[string]struct {
		owner int // of the link
		exit  int
	}{"of a user": {testkit.User(), 1}, "of root": {0, 0}} {
		t.Run(name, func(t *testing.T) {
			n := newInstanceNode(t, "slappart0")
			n.DeployWith("echo ran > log")
			moved := filepath.Join(n.Base(), "moved")
			if err := errors.Join(os.Rename(n.At("slappart0"), moved), os.Symlink(moved, n.At("slappart0")),
				os.Lchown(n.At("slappart0"), test.owner, test.owner)); err != nil {
				t.Fatal(err)
			}
			n.process(test.exit)
			if ran := testkit.Exists(filepath.Join(moved, "log")); ran != (test.exit == 0) {
				t.Errorf("deployed: %v\n%s", ran, n.Log)
			}
		})
	}
}

// GRID-102: the supervisor's directories beside the partitions are not
// partitions, whatever a master says; nor is a directory that root owns.
func TestLyingMaster(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.process(0)
	n.Master.Take()
	names := []string{"etc", "var", "sv.sock", "supervisord.socket", "", ".", "..", "/", "etc/supervisord.conf.d", "../software"}
	if os.Geteuid() == 0 {
		testkit.WriteFile(t, n.At("of-root", "file"), "")
		testkit.WriteFile(t, n.At("of-root", ".timestamp"), "")
		names = append(names, "of-root")
	}
	for _, withRelease := range []bool{true, false} {
		n.Master.Set(func() { n.Master.Wanted.Partitions = nil })
		for _, name := range names {
			n.Allocate(name, slap.StateDestroyed)
		}
		if !withRelease { // a free one is tidied up
			n.Master.Set(func() {
				for _, partition := range n.Master.Wanted.Partitions {
					partition.SoftwareRelease = nil
				}
			})
		}
		testkit.WriteFile(t, n.At("var", ".timestamp"), "")
		if _, err := n.report(); err != nil {
			t.Fatal(err)
		}
		_, _ = n.pass(t.Context())
		for _, path := range []string{"etc/supervisord.conf", "var/log", "var/.timestamp", "sv.sock"} {
			testkit.MustExist(t, n.At(path))
		}
		for _, name := range []string{"etc", "var", "sv.sock"} {
			if !strings.Contains(n.Log.String(), strconv.Quote(name)+" is not the name of a partition") {
				t.Errorf("%s is one\n%s", name, n.Log)
			}
		}
		if n.Master.Called("destroyedComputerPartition") {
			t.Errorf("something was destroyed\n%s", n.Log)
		}
	}
	if os.Geteuid() == 0 {
		testkit.MustExist(t, n.At("of-root", "file"))
		testkit.MustExist(t, n.At("of-root", ".timestamp"))
	}
}
