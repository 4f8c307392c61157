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

	"slapos/grid/buildout"
	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

func TestPassBuilds(t *testing.T) {
	n := newSoftwareNode(t)
	n.Want(slap.StateAvailable, testenv.Release)
	n.run(0)
	n.Master.Expect(t, "getFullComputerInformation", "buildingSoftwareRelease "+testenv.Release, "availableSoftwareRelease "+testenv.Release)
	if got := testkit.ReadFile(t, n.Path(testenv.Release, "log")); got != "bootstrap\nbuildout\n" {
		t.Errorf("log of the build: %q", got)
	}
	if _, err := time.Parse(time.ANSIC, testkit.ReadFile(t, n.Path(testenv.Release, ".completed"))); err != nil {
		t.Error(err)
	}
	want := "[buildout]\nextends = " + testenv.Release + "\nshared-part-list = \nbuild-time-part-list = \n\n"
	if got := testkit.ReadFile(t, n.Path(testenv.Release, "buildout.cfg")); got != want {
		t.Errorf("profile %q", got)
	}
	for _, name := range []string{"", "buildout.cfg", "extends-cache"} {
		if uid := testkit.OwnerOf(t, n.Path(testenv.Release, name)); uid != testkit.User() {
			t.Errorf("owner of %q is %d", name, uid)
		}
	}
	if info, _ := os.Stat(n.Path(testenv.Release)); info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v", info.Mode())
	}
	if n.Log.Index("built") < 0 {
		t.Errorf("the output is not in the log:\n%s", n.Log)
	}

	n.run(0)
	n.Master.Expect(t, "getFullComputerInformation")

	n.Pass.Force = true
	n.run(0)
	n.Master.Expect(t, "getFullComputerInformation", "buildingSoftwareRelease "+testenv.Release, "availableSoftwareRelease "+testenv.Release)
	if got := testkit.ReadFile(t, n.Path(testenv.Release, "log")); got != "bootstrap\nbuildout\nbuildout\n" {
		t.Errorf("log after a forced build: %q", got)
	}
}

func TestPassParameters(t *testing.T) {
	n := newSoftwareNode(t)
	n.BuildWith(`echo "$@" > arguments`)
	n.options.BuildoutNetworkCache = map[string]string{"upload-dir-url": "http://dir", "shadir-key-file": "/key"}
	n.Pass.SharedParts = "\n/a\n/b"
	n.Want(slap.StateAvailable, testenv.Release)
	n.run(0)
	directory := n.Path(testenv.Release)
	want := strings.ReplaceAll("-U buildout:extends-cache=DIR/extends-cache buildout:directory=DIR "+
		"buildout:networkcache-section=networkcache networkcache:upload-dir-url=http://dir networkcache:shadir-key-file=/key "+
		"-N -c DIR/buildout.cfg\n", "DIR", directory)
	if got := testkit.ReadFile(t, n.Path(testenv.Release, "arguments")); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := testkit.ReadFile(t, n.Path(testenv.Release, "buildout.cfg")); !strings.Contains(got, "shared-part-list = \n\t/a\n\t/b\n") {
		t.Errorf("profile %q", got)
	}
}

func TestPassFailsAndRetries(t *testing.T) {
	n := newSoftwareNode(t)
	other := "http://release/b.cfg"
	n.BuildWith(`if [ "$PWD" = ` + n.Path(testenv.Release) + ` ]; then echo broken; exit 1; fi`)
	n.Want(slap.StateAvailable, testenv.Release, other)
	result := n.run(1)
	if len(result.Failed) != 1 || result.Failed[0].Item != testenv.Release {
		t.Errorf("failures %+v", result.Failed)
	}
	calls := n.Master.Expect(t, "getFullComputerInformation",
		"buildingSoftwareRelease "+testenv.Release, "softwareReleaseError "+testenv.Release,
		"buildingSoftwareRelease "+other, "availableSoftwareRelease "+other)
	want := "Failed to run buildout profile in directory '" + n.Path(testenv.Release) + "':\nbroken\n\n"
	if got := calls[2].Form.Get("error_log"); got != want {
		t.Errorf("reported %q, want %q", got, want)
	}
	// GRID-34: bootstrap, none, bootstrap.
	n.run(1)
	if !testkit.Exists(n.Path(testenv.Release, "bin", "buildout-bootstrap-skipped")) {
		t.Error("no marker after the second run")
	}
	n.run(1)
	if got := testkit.ReadFile(t, n.Path(testenv.Release, "log")); got != "bootstrap\nbuildout\nbuildout\nbootstrap\nbuildout\n" {
		t.Errorf("log of the builds: %q", got)
	}
	n.BuildWith("true")
	n.Script(n.Path(testenv.Release, "bin", "buildout"), "exit 0")
	n.run(0)
	if testkit.Exists(n.Path(testenv.Release, "bin", "buildout-bootstrap-skipped")) || !testkit.Exists(n.Path(testenv.Release, ".completed")) {
		t.Error("the marker is left, or the release incomplete")
	}
}

// A master that rejects error reports doesn't keep a release from being built.
func TestPassErrorsInVain(t *testing.T) {
	n := newSoftwareNode(t)
	other := "http://release/b.cfg"
	n.BuildWith(`if [ "$PWD" = ` + n.Path(testenv.Release) + ` ]; then exit 1; fi`)
	n.Want(slap.StateAvailable, testenv.Release, other)
	n.Master.Set(func() { n.Master.Status["softwareReleaseError"] = http.StatusInternalServerError })
	n.run(1)
	n.Master.Expect(t, "getFullComputerInformation", "buildingSoftwareRelease "+testenv.Release, "softwareReleaseError "+testenv.Release,
		"buildingSoftwareRelease "+other, "availableSoftwareRelease "+other)
}

// A release is complete only once the master knows.
func TestPassReportsAgain(t *testing.T) {
	n := newSoftwareNode(t)
	n.Want(slap.StateAvailable, testenv.Release)
	n.Master.Set(func() { n.Master.Status["availableSoftwareRelease"] = http.StatusRequestTimeout })
	result := n.run(1)
	const want = "tell the master that " + testenv.Release + " is available: "
	if len(result.Failed) != 1 || !strings.HasPrefix(result.Failed[0].Err.Error(), want) {
		t.Errorf("failures %+v, want %q", result.Failed, want)
	}
	if testkit.Exists(n.Path(testenv.Release, ".completed")) {
		t.Error("complete though the master doesn't know")
	}
	n.Master.Set(func() { delete(n.Master.Status, "availableSoftwareRelease") })
	n.Master.Set(func() { n.Master.Status["buildingSoftwareRelease"] = http.StatusNotFound })
	n.run(0)
	if got := testkit.ReadFile(t, n.Path(testenv.Release, "log")); strings.Count(got, "buildout\n") != 2 {
		t.Errorf("log of the builds: %q", got)
	}
}

func TestPassRemoves(t *testing.T) {
	n := newSoftwareNode(t)
	n.Want(slap.StateAvailable, testenv.Release)
	n.run(0)
	n.Master.Take()
	n.Want(slap.StateDestroyed, testenv.Release)
	for range 2 {
		n.run(0)
		n.Master.Expect(t, "getFullComputerInformation", "destroyedSoftwareRelease "+testenv.Release)
		if testkit.Exists(n.Path(testenv.Release)) {
			t.Error("still there")
		}
	}
}

func TestPassOnly(t *testing.T) {
	n := newSoftwareNode(t)
	a, b, c := testenv.Release, "http://release/b.cfg", "http://release/c.cfg"
	n.Want(slap.StateAvailable, a, b, c)
	n.Pass.Only = []string{buildout.ReleaseName(a), c}
	n.run(0)
	if !testkit.Exists(n.Path(a)) || testkit.Exists(n.Path(b)) || !testkit.Exists(n.Path(c)) {
		t.Error("not those that were named")
	}
}

func TestPassGarbage(t *testing.T) {
	n := newSoftwareNode(t)
	kept, gone, unnamed := testenv.Release, "http://release/old.cfg", "http://release/kept.cfg"
	n.Want(slap.StateAvailable, kept, gone, unnamed)
	n.run(0)
	foreign := filepath.Join(n.Pass.SoftwareRoot, strings.Repeat("g", 32))
	noProfile := filepath.Join(n.Pass.SoftwareRoot, strings.Repeat("a", 32))
	testkit.WriteFile(t, filepath.Join(foreign, "buildout.cfg"), "")
	testkit.WriteFile(t, filepath.Join(noProfile, "other"), "")
	n.Want(slap.StateAvailable, kept, unnamed)
	n.options.GarbageCollect = true
	n.Pass.Only = []string{kept} // GRID-25: the other stays
	n.run(0)
	if testkit.Exists(n.Path(gone)) || !testkit.Exists(n.Path(kept)) || !testkit.Exists(n.Path(unnamed)) || !testkit.Exists(foreign) || !testkit.Exists(noProfile) {
		t.Error("not what the master doesn't list was removed")
	}
}

func TestPassFreeSpace(t *testing.T) {
	n := newSoftwareNode(t)
	n.Want(slap.StateAvailable, testenv.Release)
	n.options.MinFreeSpace = 1 << 62
	n.run(1)
	calls := n.Master.Take()
	if text := calls[len(calls)-1].Form.Get("error_log"); !strings.Contains(text, "(option 'software_min_free_space')") {
		t.Errorf("reported %q", text)
	}
	if testkit.Exists(n.Path(testenv.Release)) {
		t.Error("the build began")
	}
}

func TestPassInterrupted(t *testing.T) {
	n := newSoftwareNode(t)
	n.BuildWith("echo $$ > pid; sleep 600")
	n.Want(slap.StateAvailable, testenv.Release, "http://release/b.cfg")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	testkit.Once(t, "the build has begun", func() bool { return testkit.Exists(n.Path(testenv.Release, "pid")) }, cancel)
	if _, err := n.pass(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	n.Master.Expect(t, "getFullComputerInformation", "buildingSoftwareRelease "+testenv.Release, "softwareReleaseError "+testenv.Release)
}

// D-6: parallel builds; each one's log is whole, in the order of their starts.
func TestPassParallel(t *testing.T) {
	n := newSoftwareNode(t)
	n.Pass.Jobs = 4
	// Each build waits until all have begun.
	n.BuildWith(`touch ../begun-$(basename $PWD)
while [ $(ls .. | grep -c begun) -lt 4 ]; do sleep 0.01; done
echo one $PWD; echo two $PWD`)
	var urls, want []string
	for i := range 4 {
		url := fmt.Sprintf("http://release/%d.cfg", i)
		urls = append(urls, url)
		want = append(want, "buildingSoftwareRelease "+url, "availableSoftwareRelease "+url)
	}
	n.Want(slap.StateAvailable, urls...)
	if os.Geteuid() == 0 { // builds write outside their directories
		os.Chmod(n.Pass.SoftwareRoot, 0o777)
	}
	n.run(0)
	n.Master.ExpectInAnyOrder(t, append(want, "getFullComputerInformation")...)
	last := -1
	for _, url := range urls {
		one, two := n.Log.Index("one "+n.Path(url)), n.Log.Index("two "+n.Path(url))
		if one < last || two != one+1 {
			t.Errorf("%s is not in order in the log:\n%s", url, n.Log)
		}
		last = two
	}
}

func TestPassNetrc(t *testing.T) {
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
	if os.Geteuid() == 0 { // otherwise the user owns the other file
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
