// SPDX-License-Identifier: GPL-3.0-or-later

package report

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"slapos/grid/partition"
	"slapos/grid/pass"
	"slapos/grid/supervisor"
	"slapos/grid/testenv"
	"slapos/manager"
	"slapos/slap"
	"slapos/slap/testkit"
)

// supervise starts the node's supervisor.
func (r *reportTest) supervise() {
	r.t.Helper()
	executable, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	r.options.Supervisor.Executable = executable
	if err := newReport(r.options).supervision.Start(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	pid := testkit.ReadFile(r.t, r.layout().PIDFile())
	r.t.Cleanup(func() {
		client := supervisor.NewClient(r.layout().Socket())
		defer client.Close()
		if err := client.Shutdown(context.Background()); err != nil {
			r.t.Error(err)
		}
		number, err := strconv.Atoi(strings.TrimSpace(pid))
		if err != nil {
			r.t.Fatal(err)
		}
		testkit.Eventually(r.t, testkit.Patience, "the supervisor has ended", func() bool { return !testkit.Runs(number) })
	})
}

func (r *reportTest) layout() supervisor.Layout {
	return supervisor.Layout{InstanceRoot: r.options.Node.InstanceRoot}
}

// runService starts the programs in etc/run of partition slappart<n>, in the
// partition's own group or, with a suffix, in a manager's.
func (r *reportTest) runService(n int, suffix ...string) {
	r.t.Helper()
	name := fmt.Sprint("slappart", n)
	directory := filepath.Join(r.root, name)
	services, err := supervisor.Services(os.DirFS(directory), directory, supervisor.Program{UID: testkit.User(), GID: testkit.User()})
	if err != nil {
		r.t.Fatal(err)
	}
	var groups []supervisor.Group
	for _, suffix := range append(suffix, "") {
		group := supervisor.Group{Name: name + suffix, Directory: directory, Programs: services}
		if _, err := r.layout().WriteGroup(name, group); err != nil {
			r.t.Fatal(err)
		}
		groups = append(groups, group)
	}
	client := supervisor.NewClient(r.layout().Socket())
	defer client.Close()
	if _, _, _, err := client.ReloadConfig(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	for _, group := range groups {
		if err := client.AddGroup(context.Background(), group.Name); err != nil {
			r.t.Fatal(err)
		}
		if err := client.StartGroupAndWait(context.Background(), group.Name); err != nil {
			r.t.Fatal(err)
		}
	}
}

// running lists what the supervisor runs, except the watchdog.
func (r *reportTest) running() []string {
	r.t.Helper()
	client := supervisor.NewClient(r.layout().Socket())
	defer client.Close()
	infos, err := client.AllProcessInfo(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	var names []string
	for _, info := range infos {
		if info.Group != "watchdog" && info.Statename == "RUNNING" {
			names = append(names, info.Group+":"+info.Name)
		}
	}
	return names
}

// configured lists the supervisor's files.
func (r *reportTest) configured() []string {
	found, _ := filepath.Glob(filepath.Join(r.layout().ConfigDir(), "*"))
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return found
}

// report runs a whole report.
func (r *reportTest) report(wantCode int) pass.Result {
	r.t.Helper()
	result, err := Pass(context.Background(), r.options)
	if err != nil || result.ExitCode() != wantCode {
		r.t.Errorf("exit code %d, want %d, error %v, failures %v", result.ExitCode(), wantCode, err, result.Failed)
	}
	return result
}

const sleeper = "#!/bin/sh\nexec sleep 1000\n"

func TestPass(t *testing.T) {
	r := newReportTest(t)
	r.options.Node.Jobs = 1
	r.options.CertificateRepository = filepath.Join(filepath.Dir(r.root), "certificates")
	os.Mkdir(r.options.CertificateRepository, 0o755)
	r.Answers["getComputerPartitionCertificate"] = slap.Dict{"certificate": "C", "key": "K"}
	script := "#!/bin/sh\ncat >$1 <<END\n" + usageOf("script") + "\nEND\n"
	started := r.partition(0, slap.StateStarted, map[string]string{"etc/report/usage": script, "var/xml_report/x": usageOf("file"), "etc/run/s": sleeper})
	destroyed := r.partition(1, slap.StateDestroyed, map[string]string{"etc/run/s": sleeper, "etc/report/usage": script, "var/xml_report/x": "broken"})
	before, _ := os.Stat(destroyed)
	free := r.partition(2, slap.StateDestroyed, map[string]string{".slapgrid/log/x": "", ".timestamp": "1", ".slapos-resource": "{}"})
	r.Wanted.Partitions[2].SoftwareRelease = nil
	r.list(3, slap.StateStarted) // without directory
	r.partition(4, slap.StateStarted, map[string]string{"etc/report/usage": "#!/bin/sh\nexit 1\n"})
	r.supervise()
	r.runService(0)
	r.runService(1, "-extra")

	result := r.report(1)
	if len(result.Failed) != 1 || result.Failed[0].Item != "slappart4" {
		t.Errorf("failures: %v", result.Failed)
	}
	calls := r.Expect(t, "getFullComputerInformation",
		"softwareInstanceError slappart3", "softwareInstanceError slappart4", "useComputer",
		"getComputerPartitionCertificate slappart1", "stoppedComputerPartition slappart1", "destroyedComputerPartition slappart1")
	for i, want := range map[int]string{1: "Partition directory " + r.root + "/slappart3 does not exist.", 2: "Script 'usage' failed."} {
		if text := calls[i].Form.Get("error_log"); text != want {
			t.Errorf("told %q", text)
		}
	}
	usage := calls[3].Form.Get("use_string")
	for text, want := range map[string]int{"<reference>slappart0</reference>": 2, "<reference>slappart1</reference>": 1,
		"<resource>script</resource>": 2, "<resource>file</resource>": 1} {
		if strings.Count(usage, text) != want {
			t.Errorf("%s is not %d times in %s", text, want, usage)
		}
	}
	testenv.Emptied(t, destroyed, before)
	testkit.MustExist(t, filepath.Join(started, "etc/report/usage"))
	if left, _ := os.ReadDir(free); len(left) != 1 {
		t.Errorf("free partition: %v", left)
	}
	if found := r.configured(); !slices.Equal(found, []string{"slappart0.conf"}) {
		t.Errorf("supervisor files: %v", found)
	}
	if found := r.running(); !slices.Equal(found, []string{"slappart0:s"}) {
		t.Errorf("running: %v", found)
	}
	if left, _ := os.ReadDir(r.options.CertificateRepository); len(left) != 0 {
		t.Errorf("certificates: %v", left)
	}

	r.Take()
	r.report(1)
	r.Expect(t, "getFullComputerInformation", "softwareInstanceError slappart3", "softwareInstanceError slappart4", "useComputer",
		"getComputerPartitionCertificate slappart1", "stoppedComputerPartition slappart1", "destroyedComputerPartition slappart1")
}

func TestPassMasterFails(t *testing.T) {
	r := newReportTest(t)
	r.options.Supervisor.LaunchForbidden = true
	r.Set(func() { r.Status["getFullComputerInformation"] = http.StatusServiceUnavailable })
	if _, err := Pass(context.Background(), r.options); !errors.Is(err, slap.ErrServer) {
		t.Error(err)
	}
}

func TestPassMasterRefuses(t *testing.T) {
	for status, wantCode := range map[int]int{http.StatusNotFound: 0, http.StatusInternalServerError: 0, http.StatusForbidden: 1} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			r := newReportTest(t)
			r.options.Supervisor.LaunchForbidden = true
			directory := r.partition(0, slap.StateDestroyed, map[string]string{"file": ""})
			before, _ := os.Stat(directory)
			r.Set(func() {
				r.Status["stoppedComputerPartition"], r.Status["destroyedComputerPartition"] = http.StatusInternalServerError, status
			})
			r.report(wantCode)
			testenv.Emptied(t, directory, before)
		})
	}
}

func TestPassUsageUnsent(t *testing.T) {
	r := newReportTest(t)
	r.options.Supervisor.LaunchForbidden = true
	withUsage := r.partition(0, slap.StateDestroyed, map[string]string{"var/xml_report/x": usageOf("x")})
	without := r.partition(1, slap.StateDestroyed, map[string]string{"file": ""})
	before, _ := os.Stat(without)
	last := r.partition(2, slap.StateDestroyed, map[string]string{"file": ""})
	r.Set(func() { r.Status["useComputer"] = http.StatusServiceUnavailable })
	r.report(1)
	testkit.MustExist(t, filepath.Join(withUsage, "var/xml_report/x"))
	testkit.MustExist(t, filepath.Join(last, "file"))
	testenv.Emptied(t, without, before)
	r.Set(func() { r.Status["useComputer"] = 0 })
	r.report(0)
	for _, directory := range []string{withUsage, last} {
		testenv.Emptied(t, directory, testenv.Stat(t, directory))
	}
}

// A reportManager is a manager with only a report hook.
type reportManager struct {
	manager.Manager
	report func(*manager.Partition) error
}

func (reportManager) Name() string { return "test" }

func (m reportManager) Report(_ context.Context, p *manager.Partition) error { return m.report(p) }

// MGR-3, MGR-4.
func TestPassManager(t *testing.T) {
	r := newReportTest(t)
	r.options.Supervisor.LaunchForbidden = true
	directory := r.partition(0, slap.StateDestroyed, map[string]string{partition.RetentionDelayFile: "1.0"})
	r.partition(1, slap.StateStarted, nil)
	failure := errors.New("no")
	var asked []string
	r.options.Node.Managers = []manager.Manager{reportManager{report: func(p *manager.Partition) error {
		over, err := p.Retention(context.Background())
		asked = append(asked, fmt.Sprint(p.ID, " ", over, " ", err, " ", p.State))
		return failure
	}}}
	r.report(1)
	r.Expect(t, "getFullComputerInformation", "stoppedComputerPartition slappart0", "softwareInstanceError slappart0")
	if !slices.Equal(asked, []string{"slappart0 false <nil> destroyed"}) {
		t.Errorf("the manager saw %q", asked)
	}
	testkit.MustExist(t, filepath.Join(directory, partition.RetentionDateFile))

	failure = nil
	r.report(0) // the lock holds: no failure
	r.Expect(t, "getFullComputerInformation", "stoppedComputerPartition slappart0")
	if !strings.Contains(r.log.String(), "Impossible to destroy partition yet because of retention lock.") {
		t.Error("the lock was not told")
	}

	// Without a lock, too, nothing is destroyed while the manager fails.
	for _, name := range []string{partition.RetentionDelayFile, partition.RetentionDateFile} {
		if err := os.Remove(filepath.Join(directory, name)); err != nil {
			t.Fatal(err)
		}
	}
	failure = errors.New("no")
	r.report(1)
	r.Expect(t, "getFullComputerInformation", "stoppedComputerPartition slappart0", "softwareInstanceError slappart0")
	failure = nil
	r.report(0)
	r.Expect(t, "getFullComputerInformation", "stoppedComputerPartition slappart0", "destroyedComputerPartition slappart0")
}

// MGR-42.
func TestPassWaitsForProcesses(t *testing.T) {
	r := newReportTest(t)
	waiting := r.partition(0, slap.StateDestroyed, map[string]string{"etc/run/s": sleeper,
		manager.WaitList: "slappart0-prerm:none\n\n  slappart0-prerm:s  \n"})
	greedy := r.partition(1, slap.StateDestroyed, map[string]string{"etc/run/s": sleeper,
		manager.WaitList: "slappart2:s\nslappart0-prerm:s\nslappart1:s\nwatchdog:watchdog\n"})
	odd := r.partition(3, slap.StateDestroyed, nil)
	before := testenv.Stat(t, greedy)
	r.partition(2, slap.StateStarted, map[string]string{"etc/run/s": sleeper})
	if err := unix.Mkfifo(filepath.Join(odd, manager.WaitList), 0o666); err != nil {
		t.Fatal(err)
	}
	r.supervise()
	r.runService(0, "-prerm")
	r.runService(1)
	r.runService(2)
	r.report(0)
	testkit.MustExist(t, filepath.Join(waiting, manager.WaitList))
	testenv.Emptied(t, greedy, before)
	testenv.Emptied(t, odd, testenv.Stat(t, odd))
	if running := r.running(); !slices.Equal(running, []string{"slappart0-prerm:s", "slappart2:s"}) {
		t.Errorf("running: %v", running)
	}
	client := supervisor.NewClient(r.layout().Socket())
	defer client.Close()
	if err := client.StopProcess(context.Background(), "slappart0-prerm:s"); err != nil {
		t.Fatal(err)
	}
	r.report(0)
	testenv.Emptied(t, waiting, testenv.Stat(t, waiting))
}

// MGR-43: without the manager prerm, its scripts are ordinary files.
func TestPassIgnoresPreRemove(t *testing.T) {
	r := newReportTest(t)
	r.options.Supervisor.LaunchForbidden = true
	proof := filepath.Join(filepath.Dir(r.root), "proof")
	directory := r.partition(0, slap.StateDestroyed, map[string]string{"etc/prerm/script": "#!/bin/sh\ntouch " + proof + "\n"})
	before := testenv.Stat(t, directory)
	r.report(0)
	testenv.Emptied(t, directory, before)
	testkit.MustNotExist(t, proof)
}

// TestPassParallel has a partition that waits for the next one. D-6.
func TestPassParallel(t *testing.T) {
	r := newReportTest(t)
	r.options.Supervisor.LaunchForbidden = true
	r.options.Node.Jobs = 2
	base := filepath.Dir(r.root)
	shared := filepath.Join(base, "shared")
	os.Mkdir(shared, 0o777)
	os.Chmod(shared, 0o777)
	for i, script := range []string{"while ! test -e first; do sleep 0.01; done", "touch first"} {
		script = "#!/bin/sh\ncd " + shared + "\n" + script + "\n"
		r.partition(i, slap.StateStarted, map[string]string{"etc/report/script": script})
	}
	for i, script := range []string{"while ! test -e second; do sleep 0.01; done", "touch second"} {
		script = "#!/bin/sh\ncd " + shared + "\n" + script + "\n"
		r.partition(2+i, slap.StateDestroyed, map[string]string{destroyScript: script})
	}
	r.report(0)
	r.ExpectInAnyOrder(t, "getFullComputerInformation", "stoppedComputerPartition slappart2", "destroyedComputerPartition slappart2",
		"stoppedComputerPartition slappart3", "destroyedComputerPartition slappart3")
}

// TestPassServiceWithoutFile has an agent that was killed between removing the
// supervisor's file and stopping the service.
func TestPassServiceWithoutFile(t *testing.T) {
	r := newReportTest(t)
	directory := r.partition(0, slap.StateDestroyed, map[string]string{"etc/run/s": sleeper})
	r.supervise()
	r.runService(0)
	if _, err := r.layout().RemoveGroup("slappart0"); err != nil {
		t.Fatal(err)
	}
	r.report(0)
	testenv.Emptied(t, directory, testenv.Stat(t, directory))
	if running := r.running(); len(running) > 0 {
		t.Errorf("running: %v", running)
	}
}

func TestPassInterrupted(t *testing.T) {
	r := newReportTest(t)
	r.options.Supervisor.LaunchForbidden = true
	directory := r.partition(0, slap.StateDestroyed, map[string]string{destroyScript: "#!/bin/sh\nmkfifo fifo; touch here; read x <fifo\n"})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	testkit.Once(t, "the script has started", func() bool { return testkit.Exists(filepath.Join(directory, "here")) }, cancel)
	if _, err := Pass(ctx, r.options); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	testkit.MustExist(t, filepath.Join(directory, "here"))
}
