// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

func TestSoftwarePassBuilds(t *testing.T) {
	n := newSoftwareNode(t)
	n.want(slap.StateAvailable, testRelease)
	n.run(0)
	n.master.expect(t, false, "getFullComputerInformation", "buildingSoftwareRelease "+testRelease, "availableSoftwareRelease "+testRelease)
	if got := testkit.ReadFile(t, n.path(testRelease, "log")); got != "bootstrap\nbuildout\n" {
		t.Errorf("log of the build: %q", got)
	}
	if _, err := time.Parse(time.ANSIC, testkit.ReadFile(t, n.path(testRelease, ".completed"))); err != nil {
		t.Error(err)
	}
	want := "[buildout]\nextends = " + testRelease + "\nshared-part-list = \nbuild-time-part-list = \n\n"
	if got := testkit.ReadFile(t, n.path(testRelease, "buildout.cfg")); got != want {
		t.Errorf("profile %q", got)
	}
	for _, name := range []string{"", "buildout.cfg", "extends-cache"} {
		if uid := testkit.OwnerOf(t, n.path(testRelease, name)); uid != testkit.User() {
			t.Errorf("owner of %q is %d", name, uid)
		}
	}
	if info, _ := os.Stat(n.path(testRelease)); info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v", info.Mode())
	}
	if n.log.index("built") < 0 {
		t.Errorf("the output is not in the log:\n%s", n.log)
	}

	n.run(0)
	n.master.expect(t, false, "getFullComputerInformation")

	n.options.Force = true
	n.run(0)
	n.master.expect(t, false, "getFullComputerInformation", "buildingSoftwareRelease "+testRelease, "availableSoftwareRelease "+testRelease)
	if got := testkit.ReadFile(t, n.path(testRelease, "log")); got != "bootstrap\nbuildout\nbuildout\n" {
		t.Errorf("log after a forced build: %q", got)
	}
}

func TestSoftwarePassParameters(t *testing.T) {
	n := newSoftwareNode(t)
	n.buildWith(`echo "$@" > arguments`)
	n.options.Software.BuildoutNetworkCache = map[string]string{"upload-dir-url": "http://dir", "shadir-key-file": "/key"}
	n.options.SharedParts = []string{"/a", "/b"}
	n.want(slap.StateAvailable, testRelease)
	n.run(0)
	directory := n.path(testRelease)
	want := strings.ReplaceAll("-U buildout:extends-cache=DIR/extends-cache buildout:directory=DIR "+
		"buildout:networkcache-section=networkcache networkcache:upload-dir-url=http://dir networkcache:shadir-key-file=/key "+
		"-N -c DIR/buildout.cfg\n", "DIR", directory)
	if got := testkit.ReadFile(t, n.path(testRelease, "arguments")); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := testkit.ReadFile(t, n.path(testRelease, "buildout.cfg")); !strings.Contains(got, "shared-part-list = \n\t/a\n\t/b\n") {
		t.Errorf("profile %q", got)
	}
}

func TestSoftwarePassFailsAndRetries(t *testing.T) {
	n := newSoftwareNode(t)
	other := "http://release/b.cfg"
	n.buildWith(`if [ "$PWD" = ` + n.path(testRelease) + ` ]; then echo broken; exit 1; fi`)
	n.want(slap.StateAvailable, testRelease, other)
	result := n.run(1)
	if len(result.Failed) != 1 || result.Failed[0].Item != testRelease {
		t.Errorf("failures %+v", result.Failed)
	}
	calls := n.master.expect(t, false, "getFullComputerInformation",
		"buildingSoftwareRelease "+testRelease, "softwareReleaseError "+testRelease,
		"buildingSoftwareRelease "+other, "availableSoftwareRelease "+other)
	want := "Failed to run buildout profile in directory '" + n.path(testRelease) + "':\nbroken\n\n"
	if got := calls[2].form.Get("error_log"); got != want {
		t.Errorf("reported %q, want %q", got, want)
	}
	// GRID-34: bootstrap, none, bootstrap.
	n.run(1)
	if !testkit.Exists(n.path(testRelease, "bin", "buildout-bootstrap-skipped")) {
		t.Error("no marker after the second run")
	}
	n.run(1)
	if got := testkit.ReadFile(t, n.path(testRelease, "log")); got != "bootstrap\nbuildout\nbuildout\nbootstrap\nbuildout\n" {
		t.Errorf("log of the builds: %q", got)
	}
	n.buildWith("true")
	n.script(n.path(testRelease, "bin", "buildout"), "exit 0")
	n.run(0)
	if testkit.Exists(n.path(testRelease, "bin", "buildout-bootstrap-skipped")) || !testkit.Exists(n.path(testRelease, ".completed")) {
		t.Error("the marker is left, or the release incomplete")
	}
}

// A master that takes no reports of errors keeps no release from being built.
func TestSoftwarePassErrorsInVain(t *testing.T) {
	n := newSoftwareNode(t)
	other := "http://release/b.cfg"
	n.buildWith(`if [ "$PWD" = ` + n.path(testRelease) + ` ]; then exit 1; fi`)
	n.want(slap.StateAvailable, testRelease, other)
	n.master.set(func() { n.master.status["softwareReleaseError"] = http.StatusInternalServerError })
	n.run(1)
	n.master.expect(t, false, "getFullComputerInformation", "buildingSoftwareRelease "+testRelease, "softwareReleaseError "+testRelease,
		"buildingSoftwareRelease "+other, "availableSoftwareRelease "+other)
}

// A release is complete only once the master knows.
func TestSoftwarePassReportsAgain(t *testing.T) {
	n := newSoftwareNode(t)
	n.want(slap.StateAvailable, testRelease)
	n.master.set(func() { n.master.status["availableSoftwareRelease"] = http.StatusRequestTimeout })
	result := n.run(1)
	const want = "tell the master that " + testRelease + " is available: "
	if len(result.Failed) != 1 || !strings.HasPrefix(result.Failed[0].Err.Error(), want) {
		t.Errorf("failures %+v, want %q", result.Failed, want)
	}
	if testkit.Exists(n.path(testRelease, ".completed")) {
		t.Error("complete though the master doesn't know")
	}
	n.master.set(func() { delete(n.master.status, "availableSoftwareRelease") })
	n.master.set(func() { n.master.status["buildingSoftwareRelease"] = http.StatusNotFound })
	n.run(0)
	if got := testkit.ReadFile(t, n.path(testRelease, "log")); strings.Count(got, "buildout\n") != 2 {
		t.Errorf("log of the builds: %q", got)
	}
}

func TestSoftwarePassRemoves(t *testing.T) {
	n := newSoftwareNode(t)
	n.want(slap.StateAvailable, testRelease)
	n.run(0)
	n.master.take()
	n.want(slap.StateDestroyed, testRelease)
	for range 2 {
		n.run(0)
		n.master.expect(t, false, "getFullComputerInformation", "destroyedSoftwareRelease "+testRelease)
		if testkit.Exists(n.path(testRelease)) {
			t.Error("still there")
		}
	}
}

func TestSoftwarePassOnly(t *testing.T) {
	n := newSoftwareNode(t)
	a, b, c := testRelease, "http://release/b.cfg", "http://release/c.cfg"
	n.want(slap.StateAvailable, a, b, c)
	n.options.Only = []string{md5Sum(a), c}
	n.run(0)
	if !testkit.Exists(n.path(a)) || testkit.Exists(n.path(b)) || !testkit.Exists(n.path(c)) {
		t.Error("not those that were named")
	}
}

func TestSoftwarePassGarbage(t *testing.T) {
	n := newSoftwareNode(t)
	kept, gone, unnamed := testRelease, "http://release/old.cfg", "http://release/kept.cfg"
	n.want(slap.StateAvailable, kept, gone, unnamed)
	n.run(0)
	foreign := filepath.Join(n.options.SoftwareRoot, strings.Repeat("g", 32))
	noProfile := filepath.Join(n.options.SoftwareRoot, strings.Repeat("a", 32))
	testkit.WriteFile(t, filepath.Join(foreign, "buildout.cfg"), "")
	testkit.WriteFile(t, filepath.Join(noProfile, "other"), "")
	n.want(slap.StateAvailable, kept, unnamed)
	n.options.Software.GarbageCollect = true
	n.options.Only = []string{kept} // GRID-25: the other stays nevertheless
	n.run(0)
	if testkit.Exists(n.path(gone)) || !testkit.Exists(n.path(kept)) || !testkit.Exists(n.path(unnamed)) || !testkit.Exists(foreign) || !testkit.Exists(noProfile) {
		t.Error("not what the master doesn't list was removed")
	}
}

func TestSoftwarePassFreeSpace(t *testing.T) {
	n := newSoftwareNode(t)
	n.want(slap.StateAvailable, testRelease)
	n.options.Software.MinFreeSpace = 1 << 62
	n.run(1)
	calls := n.master.take()
	if text := calls[len(calls)-1].form.Get("error_log"); !strings.Contains(text, "(option 'software_min_free_space')") {
		t.Errorf("reported %q", text)
	}
	if testkit.Exists(n.path(testRelease)) {
		t.Error("the build began")
	}
}

func TestSoftwarePassInterrupted(t *testing.T) {
	n := newSoftwareNode(t)
	n.buildWith("echo $$ > pid; sleep 600")
	n.want(slap.StateAvailable, testRelease, "http://release/b.cfg")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	testkit.Once(t, "the build has begun", func() bool { return testkit.Exists(n.path(testRelease, "pid")) }, cancel)
	if _, err := SoftwarePass(ctx, n.options); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	n.master.expect(t, false, "getFullComputerInformation", "buildingSoftwareRelease "+testRelease, "softwareReleaseError "+testRelease)
}

// D-6: builds at once, each one's log whole and in the order of their start.
func TestSoftwarePassParallel(t *testing.T) {
	n := newSoftwareNode(t)
	n.options.Jobs = 4
	// Each build waits for all to have begun.
	n.buildWith(`touch ../begun-$(basename $PWD)
while [ $(ls .. | grep -c begun) -lt 4 ]; do sleep 0.01; done
echo one $PWD; echo two $PWD`)
	var urls, want []string
	for i := range 4 {
		url := fmt.Sprintf("http://release/%d.cfg", i)
		urls = append(urls, url)
		want = append(want, "buildingSoftwareRelease "+url, "availableSoftwareRelease "+url)
	}
	n.want(slap.StateAvailable, urls...)
	if os.Geteuid() == 0 { // builds write beside their directories
		os.Chmod(n.options.SoftwareRoot, 0o777)
	}
	n.run(0)
	n.master.expect(t, true, append(want, "getFullComputerInformation")...)
	last := -1
	for _, url := range urls {
		one, two := n.log.index("one "+n.path(url)), n.log.index("two "+n.path(url))
		if one < last || two != one+1 {
			t.Errorf("%s is not in order in the log:\n%s", url, n.log)
		}
		last = two
	}
}

func TestSoftwarePassNetrc(t *testing.T) {
	home := testenv.Directory(t)
	testkit.HandOver(t, home)
	secret := testkit.WriteFile(t, filepath.Join(t.TempDir(), "secret"), "secret")
	if err := os.Symlink(secret, filepath.Join(home, ".netrc")); err != nil {
		t.Fatal(err)
	}
	if content, err := readLogins(home, ".netrc", testkit.User()); err == nil {
		t.Errorf("read %q through a link", content)
	}
	os.Remove(filepath.Join(home, ".netrc"))
	if os.Geteuid() == 0 { // else the other file is the user's own
		if err := os.Link(secret, filepath.Join(home, ".netrc")); err != nil {
			t.Fatal(err)
		}
		if content, err := readLogins(home, ".netrc", testkit.User()); err == nil {
			t.Errorf("read %q through a hard link", content)
		}
		os.Remove(filepath.Join(home, ".netrc"))
	}
	testkit.WriteFile(t, filepath.Join(home, ".netrc"), "machine a")
	testkit.HandOver(t, filepath.Join(home, ".netrc"))
	if content, err := readLogins(home, ".netrc", testkit.User()); err != nil || string(content) != "machine a" {
		t.Errorf("read %q, %v", content, err)
	}
}
