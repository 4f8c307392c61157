package grid

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"slapos/grid/testenv"
	"slapos/manager"
	"slapos/slap"
)

// A softwareNode is a node with a master, and releases that a shell script
// instead of buildout builds.
type softwareNode struct {
	t       *testing.T
	master  *testMaster
	options Options
	log     *recorder
}

func newSoftwareNode(t *testing.T) *softwareNode {
	t.Helper()
	t.Parallel()
	base := testenv.Directory(t)
	n := &softwareNode{t: t, master: newTestMaster(t), log: &recorder{}}
	n.options = Options{
		ComputerID: testComputer, MasterURL: n.master.URL, Master: n.master.client,
		SoftwareRoot: filepath.Join(base, "software"), InstanceRoot: filepath.Join(base, "instance"),
		Logger: slog.New(n.log), Jobs: 1, Environment: []string{"PATH=" + os.Getenv("PATH")},
		Software: SoftwareOptions{MinFreeSpace: 1, UploadDelay: time.Millisecond},
	}
	for _, directory := range []string{n.options.SoftwareRoot, n.options.InstanceRoot} {
		if err := os.Mkdir(directory, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	testenv.HandOver(t, n.options.SoftwareRoot)
	n.options.Python = "/bin/sh"
	n.bootstrapWith("echo bootstrapped")
	n.buildWith("echo built")
	return n
}

// bootstrapWith makes a bootstrap that runs a command and makes bin/buildout.
func (n *softwareNode) bootstrapWith(command string) {
	n.t.Helper()
	// The agent runs: /bin/sh -S SCRIPT …; a shell without -S is needed.
	base := filepath.Dir(n.options.SoftwareRoot)
	n.options.Python = filepath.Join(base, "python")
	n.options.Buildout = filepath.Join(base, "bootstrap")
	n.script(n.options.Python, "shift; exec /bin/sh \"$@\"")
	n.script(n.options.Buildout, command+" || exit; echo bootstrap >> log; mkdir -p bin && cp "+filepath.Join(base, "buildout")+" bin/buildout")
}

// buildWith makes the bin/buildout of releases that are bootstrapped from now.
func (n *softwareNode) buildWith(command string) {
	n.t.Helper()
	n.script(filepath.Join(filepath.Dir(n.options.SoftwareRoot), "buildout"), "echo buildout >> log\n"+command)
}

func (n *softwareNode) script(path, text string) {
	n.t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		n.t.Fatal(err)
	}
}

func (n *softwareNode) want(state slap.State, urls ...string) {
	n.master.set(func() {
		n.master.computer.SoftwareReleases = []*slap.SoftwareRelease{}
		for _, url := range urls {
			n.master.computer.SoftwareReleases = append(n.master.computer.SoftwareReleases,
				&slap.SoftwareRelease{URL: url, Computer: testComputer, RequestedState: state})
		}
	})
}

func (n *softwareNode) path(url string, names ...string) string {
	return filepath.Join(append([]string{n.options.SoftwareRoot, md5Sum(url)}, names...)...)
}

func (n *softwareNode) run(wantExit int) Result {
	n.t.Helper()
	result, err := SoftwarePass(n.t.Context(), n.options)
	if err != nil {
		n.t.Fatal(err)
	}
	if result.ExitCode() != wantExit {
		n.t.Fatalf("exit code %d, want %d: %+v\n%s", result.ExitCode(), wantExit, result, n.log)
	}
	return result
}

// A recorder keeps the messages of a log.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *recorder) WithGroup(string) slog.Handler            { return r }
func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, record.Message)
	return nil
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

func (r *recorder) index(message string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Index(r.lines, message)
}

const testRelease = "http://release/a.cfg"

func TestSoftwarePassBuilds(t *testing.T) {
	n := newSoftwareNode(t)
	n.want(slap.StateAvailable, testRelease)
	n.run(0)
	n.master.expect(t, false, "getFullComputerInformation", "buildingSoftwareRelease "+testRelease, "availableSoftwareRelease "+testRelease)
	if got := readFile(t, n.path(testRelease, "log")); got != "bootstrap\nbuildout\n" {
		t.Errorf("log of the build: %q", got)
	}
	if _, err := time.Parse(time.ANSIC, readFile(t, n.path(testRelease, ".completed"))); err != nil {
		t.Error(err)
	}
	want := "[buildout]\nextends = " + testRelease + "\nshared-part-list = \nbuild-time-part-list = \n\n"
	if got := readFile(t, n.path(testRelease, "buildout.cfg")); got != want {
		t.Errorf("profile %q", got)
	}
	for _, name := range []string{"", "buildout.cfg", "extends-cache"} {
		if uid := ownerOf(t, n.path(testRelease, name)); uid != testenv.User() {
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
	if got := readFile(t, n.path(testRelease, "log")); got != "bootstrap\nbuildout\nbuildout\n" {
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
	if got := readFile(t, n.path(testRelease, "arguments")); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := readFile(t, n.path(testRelease, "buildout.cfg")); !strings.Contains(got, "shared-part-list = \n\t/a\n\t/b\n") {
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
	if !exists(n.path(testRelease, "bin", "buildout-bootstrap-skipped")) {
		t.Error("no marker after the second run")
	}
	n.run(1)
	if got := readFile(t, n.path(testRelease, "log")); got != "bootstrap\nbuildout\nbuildout\nbootstrap\nbuildout\n" {
		t.Errorf("log of the builds: %q", got)
	}
	n.buildWith("true")
	n.script(n.path(testRelease, "bin", "buildout"), "exit 0")
	n.run(0)
	if exists(n.path(testRelease, "bin", "buildout-bootstrap-skipped")) || !exists(n.path(testRelease, ".completed")) {
		t.Error("the marker is left, or the release incomplete")
	}
}

// A release is complete only once the master knows.
func TestSoftwarePassReportsAgain(t *testing.T) {
	n := newSoftwareNode(t)
	n.want(slap.StateAvailable, testRelease)
	n.master.set(func() { n.master.status["availableSoftwareRelease"] = http.StatusInternalServerError })
	n.run(1)
	if exists(n.path(testRelease, ".completed")) {
		t.Error("complete though the master doesn't know")
	}
	n.master.set(func() { delete(n.master.status, "availableSoftwareRelease") })
	n.master.set(func() { n.master.status["buildingSoftwareRelease"] = http.StatusNotFound })
	n.run(0)
	if got := readFile(t, n.path(testRelease, "log")); strings.Count(got, "buildout\n") != 2 {
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
		if exists(n.path(testRelease)) {
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
	if !exists(n.path(a)) || exists(n.path(b)) || !exists(n.path(c)) {
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
	writeFile(t, filepath.Join(foreign, "buildout.cfg"), "")
	writeFile(t, filepath.Join(noProfile, "other"), "")
	n.want(slap.StateAvailable, kept, unnamed)
	n.options.Software.GarbageCollect = true
	n.options.Only = []string{kept} // GRID-25: the other stays nevertheless
	n.run(0)
	if exists(n.path(gone)) || !exists(n.path(kept)) || !exists(n.path(unnamed)) || !exists(foreign) || !exists(noProfile) {
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
	if exists(n.path(testRelease)) {
		t.Error("the build began")
	}
}

func TestSoftwarePassInterrupted(t *testing.T) {
	n := newSoftwareNode(t)
	n.buildWith("echo $$ > pid; sleep 600")
	n.want(slap.StateAvailable, testRelease, "http://release/b.cfg")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !exists(n.path(testRelease, "pid")) {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	if _, err := SoftwarePass(ctx, n.options); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	n.master.expect(t, false, "getFullComputerInformation", "buildingSoftwareRelease "+testRelease, "softwareReleaseError "+testRelease)
}

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
	testenv.HandOver(t, home)
	secret := outsideFile(t)
	if err := os.Symlink(secret, filepath.Join(home, ".netrc")); err != nil {
		t.Fatal(err)
	}
	if content, err := readLogins(home, ".netrc", testenv.User()); err == nil {
		t.Errorf("read %q through a link", content)
	}
	os.Remove(filepath.Join(home, ".netrc"))
	writeFile(t, filepath.Join(home, ".netrc"), "machine a")
	testenv.HandOver(t, filepath.Join(home, ".netrc"))
	if content, err := readLogins(home, ".netrc", testenv.User()); err != nil || string(content) != "machine a" {
		t.Errorf("read %q, %v", content, err)
	}
}

// A testCache is a cache of releases in memory.
type testCache struct {
	mu       sync.Mutex
	releases map[string]bool
	failures int // of Push, before it works
	pushed   []string
}

func (c *testCache) Fetch(_ context.Context, url, directory string, _ *slog.Logger) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.releases[url] {
		return false, nil
	}
	return true, os.Mkdir(directory, 0o755)
}

func (c *testCache) Push(_ context.Context, url, _ string, parts []string, _ *slog.Logger) error {
	for _, part := range parts {
		url += " " + filepath.Base(filepath.Dir(part))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pushed = append(c.pushed, url)
	if c.failures > 0 {
		c.failures--
		return errors.New("no room")
	}
	return nil
}

func TestSoftwarePassCache(t *testing.T) {
	cached, built, blacklisted := "http://release/cached", "http://release/built", "http://other/built"
	for name, test := range map[string]struct {
		change       func(*softwareNode, *testCache)
		wantExit     int
		wantBuilt    []string
		wantPushed   []string
		wantReported string
	}{
		"fetched or built": {
			change:    func(*softwareNode, *testCache) {},
			wantBuilt: []string{built, blacklisted}, wantPushed: []string{built, blacklisted},
		},
		"blacklists": {
			change: func(n *softwareNode, _ *testCache) {
				n.options.Software.DownloadBlacklist = []string{"http://release/c"}
				n.options.Software.UploadBlacklist = []string{"http://other"}
			},
			wantBuilt: []string{cached, built, blacklisted}, wantPushed: []string{cached, built},
		},
		"uploads fail": {
			change:    func(_ *softwareNode, c *testCache) { c.failures = 100 },
			wantBuilt: []string{built, blacklisted}, wantPushed: []string{built, built, built, blacklisted, blacklisted, blacklisted},
		},
		"forced": {
			change: func(n *softwareNode, _ *testCache) {
				n.options.Software.DownloadForced = []string{"http://release/"}
			},
			wantExit: 1, wantBuilt: []string{blacklisted}, wantPushed: []string{blacklisted},
			wantReported: "Binary cache forced for '" + built + "', but failed to download, will retry again",
		},
		"shared parts": {
			change:    func(n *softwareNode, _ *testCache) { n.buildWith("echo buildout >> log; touch .shared") },
			wantBuilt: []string{built, blacklisted},
		},
		"shared parts that are known": {
			change: func(n *softwareNode, _ *testCache) {
				root := t.TempDir()
				n.options.SharedParts = []string{root}
				for part, text := range map[string]string{
					"a/" + strings.Repeat("a", 32): strings.Repeat("b", 32), "b/" + strings.Repeat("b", 32): "", "c/" + strings.Repeat("c", 32): "",
				} {
					if err := os.MkdirAll(filepath.Join(root, part), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(root, part, ".buildout-shared.json"), []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				n.buildWith("echo buildout >> log; touch .shared; echo " + root + "/a/" + strings.Repeat("a", 32) + " > .installed.cfg")
			},
			wantBuilt: []string{built, blacklisted}, wantPushed: []string{built + " a b", blacklisted + " a b"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newSoftwareNode(t)
			cache := &testCache{releases: map[string]bool{cached: true}}
			n.options.Software.Cache, n.options.Software.Upload = cache, true
			n.want(slap.StateAvailable, cached, built, blacklisted)
			test.change(n, cache)
			n.run(test.wantExit)
			var gotBuilt []string
			for _, url := range []string{cached, built, blacklisted} {
				if exists(n.path(url, "log")) {
					gotBuilt = append(gotBuilt, url)
				}
			}
			if !slices.Equal(gotBuilt, test.wantBuilt) {
				t.Errorf("built %q, want %q", gotBuilt, test.wantBuilt)
			}
			slices.Sort(cache.pushed)
			slices.Sort(test.wantPushed)
			if !slices.Equal(cache.pushed, test.wantPushed) {
				t.Errorf("pushed %q, want %q", cache.pushed, test.wantPushed)
			}
			reported := ""
			for _, call := range n.master.take() {
				reported += call.form.Get("error_log")
			}
			if reported != test.wantReported {
				t.Errorf("reported %q, want %q", reported, test.wantReported)
			}
		})
	}
}

// A testManager records its hooks, and fails where it is told to.
type testManager struct {
	manager.Manager
	mu      sync.Mutex
	calls   []string
	fail    string
	program string // of the group that partitions get
}

func (m *testManager) hook(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, name)
	if name == m.fail {
		return errors.New("manager failed")
	}
	return nil
}

func (m *testManager) Software(_ context.Context, s *manager.Software) error {
	return m.hook("software " + s.URL)
}
func (m *testManager) SoftwareTearDown(_ context.Context, s *manager.Software) error {
	return m.hook("tear down " + s.URL)
}

func TestSoftwarePassManagers(t *testing.T) {
	n := newSoftwareNode(t)
	m := &testManager{}
	n.options.Managers = []manager.Manager{m}
	a, b := testRelease, "http://release/b.cfg"
	n.want(slap.StateAvailable, a, b)
	n.options.Only = []string{a}
	n.run(0)
	if want := []string{"software " + a, "tear down " + a, "software " + b, "tear down " + b}; !slices.Equal(m.calls, want) {
		t.Errorf("hooks %q, want %q", m.calls, want)
	}
	m.calls, m.fail, n.options.Only, n.options.Force = nil, "software "+a, nil, true
	n.run(1)
	if want := []string{"software " + a, "software " + b, "tear down " + b}; !slices.Equal(m.calls, want) {
		t.Errorf("hooks %q, want %q", m.calls, want)
	}
}
