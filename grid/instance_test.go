package grid

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"slapos/grid/supervisor"
	"slapos/grid/testenv"
	"slapos/manager"
	"slapos/slap"
)

// An instanceNode is a node with a master, a supervisor of its own, and one
// release, whose buildout is a shell script.
type instanceNode struct {
	*softwareNode
}

func newInstanceNode(t *testing.T, partitions ...string) *instanceNode {
	t.Helper()
	n := &instanceNode{newSoftwareNode(t)}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n.options.Supervisor.Executable = executable
	n.options.Instance = InstanceOptions{MinFreeSpace: 1, MaximumPeriodicity: DefaultMaximumPeriodicity}
	t.Cleanup(n.stopSupervisor)
	if err := os.MkdirAll(n.path(testRelease, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, n.path(testRelease, "instance.cfg"), "[template]\n")
	n.deployWith("")
	for _, name := range []string{"", "bin", "bin/buildout", "instance.cfg"} {
		testenv.HandOver(t, n.path(testRelease, name))
	}
	for _, name := range partitions {
		if err := os.Mkdir(n.at(name), 0o750); err != nil {
			t.Fatal(err)
		}
		testenv.HandOver(t, n.at(name))
		n.allocate(name, slap.StateStarted)
	}
	return n
}

// deployWith makes the release's buildout run a command in the partition.
func (n *instanceNode) deployWith(command string) {
	n.t.Helper()
	n.script(n.path(testRelease, "bin", "buildout"), "echo deployed >> log\n"+command)
}

// service is a command that makes a service, or a runner, of the partition.
func service(kind, name, command string) string {
	return fmt.Sprintf("mkdir -p etc/%s; printf '#!/bin/sh\\n%s\\n' > etc/%[1]s/%[3]s; chmod 755 etc/%[1]s/%[3]s\n", kind, command, name)
}

func (n *instanceNode) at(parts ...string) string {
	return filepath.Join(append([]string{n.options.InstanceRoot}, parts...)...)
}

// allocate makes the master want an instance in a partition.
func (n *instanceNode) allocate(name string, state slap.State) *slap.Partition {
	p := &slap.Partition{
		Computer: testComputer, Reference: name, RequestedState: state, NeedModification: true,
		SoftwareRelease: &slap.SoftwareRelease{URL: testRelease, Computer: testComputer},
		Parameters:      slap.Dict{"timestamp": "1", "ip_list": []any{}, "slap_software_type": "test"}, ConnectionParameters: slap.Dict{},
	}
	n.master.set(func() {
		n.master.computer.Partitions = slices.DeleteFunc(n.master.computer.Partitions, func(old *slap.Partition) bool { return old.Reference == name })
		n.master.computer.Partitions = append(n.master.computer.Partitions, p)
	})
	return p
}

func (n *instanceNode) change(name string, change func(*slap.Partition)) {
	n.master.set(func() {
		for _, p := range n.master.computer.Partitions {
			if p.Reference == name {
				change(p)
			}
		}
	})
}

func (n *instanceNode) touch(name string) {
	n.change(name, func(p *slap.Partition) {
		p.Parameters["timestamp"] = p.Parameters["timestamp"].(string) + "1"
	})
}

func (n *instanceNode) process(wantExit int) Result {
	n.t.Helper()
	result, err := InstancePass(n.t.Context(), n.options)
	if err != nil || result.ExitCode() != wantExit {
		n.t.Fatalf("exit code %d, want %d, error %v: %+v\n%s", result.ExitCode(), wantExit, err, result, n.log)
	}
	return result
}

func (n *instanceNode) layout() supervisor.Layout {
	return supervisor.Layout{InstanceRoot: n.options.InstanceRoot, Logger: n.options.Logger}
}

// processes describes what the supervisor has, but the watchdog.
func (n *instanceNode) processes() map[string]supervisor.ProcessInfo {
	n.t.Helper()
	client := supervisor.NewClient(n.layout().Socket())
	defer client.Close()
	infos, err := client.AllProcessInfo(context.Background())
	if err != nil {
		n.t.Fatal(err)
	}
	found := map[string]supervisor.ProcessInfo{}
	for _, info := range infos {
		if info.Group != "watchdog" {
			found[info.Group+":"+info.Name] = info
		}
	}
	return found
}

// running are the names of the processes that run.
func (n *instanceNode) running() []string {
	n.t.Helper()
	names := []string{}
	for name, info := range n.processes() {
		if info.Statename == "RUNNING" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (n *instanceNode) expectRunning(want ...string) {
	n.t.Helper()
	// Starting does not wait for the program.
	deadline := time.Now().Add(20 * time.Second)
	for !slices.Equal(n.running(), want) && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if got := n.running(); !slices.Equal(got, want) {
		n.t.Errorf("running %q, want %q", got, want)
	}
}

func (n *instanceNode) stopSupervisor() {
	content, err := os.ReadFile(n.layout().PIDFile())
	if err != nil {
		return
	}
	client := supervisor.NewClient(n.layout().Socket())
	defer client.Close()
	if err := client.Shutdown(context.Background()); err != nil {
		n.t.Errorf("stop the supervisor: %v", err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		// That of a process that nobody has reaped yet is empty.
		if command, _ := os.ReadFile("/proc/" + strings.TrimSpace(string(content)) + "/cmdline"); len(command) == 0 {
			return
		}
	}
}

func TestInstancePassStarts(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.options.Jobs = 2
	n.deployWith(service("service", "web", "exec sleep 1000") + service("run", "once", "exec sleep 1000"))
	n.process(0)
	n.master.expect(t, true, "getFullComputerInformation", "startedComputerPartition slappart0", "startedComputerPartition slappart1")
	n.expectRunning("slappart0:once", "slappart0:web-on-watch", "slappart1:once", "slappart1:web-on-watch")
	for _, name := range []string{"slappart0", "slappart1"} {
		if got := readFile(t, n.at(name, ".timestamp")); got != "1" {
			t.Errorf("%s: timestamp %q", name, got)
		}
		if got, err := os.Readlink(n.at(name, "software_release")); err != nil || got != n.path(testRelease) {
			t.Errorf("%s: link to %q, %v", name, got, err)
		}
		if got := readFile(t, n.at(name, ".slapos-retention-lock-delay")); got != "0.0" {
			t.Errorf("%s: retention %q", name, got)
		}
		profile := readFile(t, n.at(name, "buildout.cfg"))
		if !strings.HasPrefix(profile, "[template]\n\n\n") || !strings.Contains(profile, "\npartition-id = "+name+"\n") {
			t.Errorf("%s: profile\n%s", name, profile)
		}
		info, _ := os.Stat(n.at(name, "buildout.cfg"))
		if uid, gid := owner(info); info.Mode() != 0o640 || uid != os.Geteuid() || os.Geteuid() == 0 && gid != testenv.User() {
			t.Errorf("%s: profile of %d:%d, mode %v", name, uid, gid, info.Mode())
		}
		if log := readFile(t, n.at(name, ".slapgrid/log/instance.log")); !strings.Contains(log, " INFO     slapos Processing Computer Partition "+name+".\n") {
			t.Errorf("%s: instance.log\n%s", name, log)
		}
	}

	// Unchanged: the master is told again only because it told no status.
	before := n.processes()
	n.process(0)
	n.master.expect(t, true, "getFullComputerInformation", "startedComputerPartition slappart0", "startedComputerPartition slappart1")
	for _, name := range []string{"slappart0", "slappart1"} {
		n.change(name, func(p *slap.Partition) {
			p.AccessStatus, p.HasAccessStatus = "#access Instance correctly started", true
		})
	}
	n.process(0)
	n.master.expect(t, false, "getFullComputerInformation")

	// Changed: one service goes, the others of the node stay as they are.
	n.deployWith("rm etc/run/once")
	n.touch("slappart1")
	n.process(0)
	n.master.expect(t, false, "getFullComputerInformation", "startedComputerPartition slappart1")
	n.expectRunning("slappart0:once", "slappart0:web-on-watch", "slappart1:web-on-watch")
	if after := n.processes(); after["slappart0:once"].Pid != before["slappart0:once"].Pid {
		t.Error("a service of an unchanged partition was restarted")
	}
	if got := readFile(t, n.at("slappart0", "log")); got != "deployed\n" {
		t.Errorf("slappart0 was deployed: %q", got)
	}
}

func TestInstancePassStopsAndDestroys(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.deployWith(service("service", "web", "exec sleep 1000"))
	n.process(0)
	n.master.take()
	n.change("slappart0", func(p *slap.Partition) { p.RequestedState = slap.StateStopped })
	n.change("slappart1", func(p *slap.Partition) { p.RequestedState = slap.StateDestroyed })
	n.touch("slappart0")
	n.touch("slappart1")
	n.process(0)
	n.master.expect(t, false, "getFullComputerInformation", "stoppedComputerPartition slappart0", "stoppedComputerPartition slappart1")
	n.expectRunning()
	if got := readFile(t, n.at("slappart0", "log")); got != "deployed\ndeployed\n" {
		t.Errorf("a stopped instance was not deployed: %q", got)
	}
	if files, _ := filepath.Glob(filepath.Join(n.layout().ConfigDir(), "slappart*")); len(files) > 0 {
		t.Errorf("configuration left: %q", files)
	}
	if !exists(n.at("slappart1", "etc/service/web")) {
		t.Error("files of a destroyed instance are gone before its report")
	}

	// Stopped even though deploying fails, and told once more afterwards.
	n.change("slappart0", func(p *slap.Partition) { p.RequestedState = slap.StateStarted })
	n.touch("slappart0")
	n.process(0)
	n.expectRunning("slappart0:web-on-watch")
	n.master.take()
	n.change("slappart0", func(p *slap.Partition) { p.RequestedState = slap.StateStopped })
	n.touch("slappart0")
	n.deployWith("exit 1")
	n.process(1)
	n.expectRunning()
	n.master.expect(t, false, "getFullComputerInformation", "softwareInstanceError slappart0")
	n.deployWith("")
	n.process(0)
	n.master.expect(t, false, "getFullComputerInformation", "stoppedComputerPartition slappart0")
}

func TestInstancePassFails(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.deployWith(`if [ $(basename $PWD) = slappart0 ]; then echo broken; exit 1; fi`)
	result := n.process(1)
	if len(result.Failed) != 1 || result.Failed[0].Item != "slappart0" || result.Failed[0].Type != "test" {
		t.Errorf("failures %+v", result.Failed)
	}
	calls := n.master.expect(t, false, "getFullComputerInformation", "softwareInstanceError slappart0", "startedComputerPartition slappart1")
	want := "Failed to run buildout profile in directory '" + n.at("slappart0") + "':\nbroken\n\n"
	if got := calls[1].form.Get("error_log"); got != want {
		t.Errorf("reported %q, want %q", got, want)
	}
	if got := readFile(t, n.at("slappart0", ".slapgrid-slappart0-error.log")); got != want {
		t.Errorf("error file %q", got)
	}
	if exists(n.at("slappart0", ".timestamp")) || !exists(n.at("slappart1", ".timestamp")) {
		t.Error("a timestamp after a failure, or none after success")
	}
	for _, line := range []string{"Error while processing the following partitions:", "  slappart0[test]: " + want} {
		if n.log.index(line) < 0 {
			t.Errorf("no %q in\n%s", line, n.log)
		}
	}
	n.deployWith("")
	n.process(0)
	if exists(n.at("slappart0", ".slapgrid-slappart0-error.log")) {
		t.Error("the error file is left")
	}
}

func TestInstancePassRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*instanceNode)
		want  string
	}{
		"no directory": {func(n *instanceNode) { os.Remove(n.at("slappart0")) }, "Partition directory DIR does not exist."},
		"mode":         {func(n *instanceNode) { os.Chmod(n.at("slappart0"), 0o755) }, "Wrong permissions in DIR: actual permissions are: 0755, wanted are 0750"},
		"no release": {func(n *instanceNode) { os.RemoveAll(n.path(testRelease)) },
			"Software Release " + testRelease + " is not present on system.\nCannot deploy instance."},
		"no template": {func(n *instanceNode) { os.Remove(n.path(testRelease, "instance.cfg")) },
			"Software Release " + testRelease + " is not correctly installed.\nMissing file: SR/instance.cfg"},
		"no URL": {func(n *instanceNode) { n.change("slappart0", func(p *slap.Partition) { p.SoftwareRelease = nil }) },
			"Partition slappart0 has no software release: the master names none."},
		"state": {func(n *instanceNode) { n.change("slappart0", func(p *slap.Partition) { p.RequestedState = "paused" }) },
			"Computer Partition 'slappart0' has unsupported state: paused"},
		"space": {func(n *instanceNode) { n.options.Instance.MinFreeSpace = 1 << 62 }, "Not enough space for DIR"},
		"two bootstraps": {func(n *instanceNode) {
			n.script(n.path(testRelease, "bin", "bootstrap1"), "")
			n.script(n.path(testRelease, "bin", "bootstrap2"), "")
		}, "Software Release " + testRelease + " has more than one bootstrap program in SR/bin: 2"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newInstanceNode(t, "slappart0")
			test.spoil(n)
			wantExit := 1
			if name == "no directory" {
				wantExit = 0 // GRID-42
			}
			n.process(wantExit)
			calls := n.master.expect(t, false, "getFullComputerInformation", "softwareInstanceError slappart0")
			want := strings.NewReplacer("DIR", n.at("slappart0"), "SR", n.path(testRelease)).Replace(test.want)
			if got := calls[len(calls)-1].form.Get("error_log"); !strings.HasPrefix(got, want) {
				t.Errorf("reported %q, want %q", got, want)
			}
		})
	}
}

func TestInstancePassBootstraps(t *testing.T) {
	for name, test := range map[string]struct {
		release string // what the release has in bin
		want    string
	}{
		"of the release": {"bootstrap", "bootstrap HOME\nown\n"},
		"of the node":    {"", "bootstrap buildout:bin-directory=DIR/sbin bootstrap\nown\n"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newInstanceNode(t, "slappart0")
			if err := os.Remove(n.path(testRelease, "bin", "buildout")); err != nil {
				t.Fatal(err)
			}
			const makeOwn = "mkdir -p sbin; printf '#!/bin/sh\\necho own >> log\\n' > sbin/buildout; chmod 755 sbin/buildout"
			n.script(n.options.Buildout, "echo bootstrap $@ >> log\n"+makeOwn)
			if test.release != "" {
				n.script(n.path(testRelease, "bin", test.release), "echo bootstrap $HOME >> log\n"+makeOwn)
			}
			n.process(0)
			home := readHome(t)
			want := strings.NewReplacer("DIR", n.at("slappart0"), "HOME", home).Replace(test.want)
			if got := readFile(t, n.at("slappart0", "log")); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// readHome is the home of the user of partitions.
func readHome(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(readFile(t, "/etc/passwd")) {
		if fields := strings.Split(line, ":"); len(fields) > 5 && fields[2] == fmt.Sprint(testenv.User()) {
			return fields[5]
		}
	}
	t.Fatal("the user of the tests is not in passwd")
	return ""
}

func TestInstancePassTimestamp(t *testing.T) {
	deployed := func(n *instanceNode) int { return strings.Count(readFile(n.t, n.at("slappart0", "log")), "\n") }
	for name, test := range map[string]struct {
		between func(*instanceNode)
		want    int // times that it was deployed after the second pass
		lost    bool
	}{
		"unchanged": {func(*instanceNode) {}, 1, false},
		"changed":   {func(n *instanceNode) { n.touch("slappart0") }, 2, false},
		"older": {func(n *instanceNode) {
			n.change("slappart0", func(p *slap.Partition) { p.Parameters["timestamp"] = "0.5" })
		}, 2, false},
		"none": {func(n *instanceNode) {
			n.change("slappart0", func(p *slap.Partition) { delete(p.Parameters, "timestamp") })
		}, 2, false},
		"forced":          {func(n *instanceNode) { n.options.Force = true }, 2, false},
		"force-stop":      {func(n *instanceNode) { n.options.Instance.ForceStop = true }, 2, false},
		"always":          {func(n *instanceNode) { n.options.Instance.MaximumPeriodicity = 0 }, 2, false},
		"period over":     {func(n *instanceNode) { n.options.Now = func() time.Time { return time.Now().Add(25 * time.Hour) } }, 2, false},
		"period not over": {func(n *instanceNode) { n.options.Now = func() time.Time { return time.Now().Add(23 * time.Hour) } }, 1, false},
		"no period": {func(n *instanceNode) {
			n.options.Instance.MaximumPeriodicity = -1
			n.options.Now = func() time.Time { return time.Now().Add(1e4 * time.Hour) }
		}, 1, false},
		"period of release": {func(n *instanceNode) { writeFile(n.t, n.path(testRelease, "periodicity"), "0\n") }, 2, false},
		"unreadable period": {func(n *instanceNode) {
			writeFile(n.t, n.path(testRelease, "periodicity"), "often")
			n.options.Instance.MaximumPeriodicity = 0
		}, 2, false},
		"changed and failed": {func(n *instanceNode) { n.touch("slappart0"); n.deployWith("exit 1") }, 2, true},
		"forced and failed":  {func(n *instanceNode) { n.options.Force = true; n.deployWith("exit 1") }, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := newInstanceNode(t, "slappart0")
			n.process(0)
			test.between(n)
			if _, err := InstancePass(t.Context(), n.options); err != nil {
				t.Fatal(err)
			}
			if got := deployed(n); got != test.want {
				t.Errorf("deployed %d times, want %d\n%s", got, test.want, n.log)
			}
			if lost := !exists(n.at("slappart0", ".timestamp")); lost != test.lost {
				t.Errorf("timestamp lost: %v, want %v", lost, test.lost)
			}
			if name == "unreadable period" && exists(n.path(testRelease, "periodicity")) {
				t.Error("the file that holds no number is left")
			}
		})
	}
}

func TestInstancePassForceStop(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.deployWith(service("service", "web", "exec sleep 1000"))
	n.process(0)
	n.expectRunning("slappart0:web-on-watch")
	n.master.take()
	n.options.Instance.ForceStop = true
	n.process(0)
	n.expectRunning()
	n.master.expect(t, false, "getFullComputerInformation")
}

func TestInstancePassOnly(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.options.Only = []string{"slappart1"}
	n.process(0)
	n.master.expect(t, false, "getFullComputerInformation", "startedComputerPartition slappart1")
	n.options.Only = []string{"b", "slappart1", "a", "b"}
	if _, err := InstancePass(t.Context(), n.options); err == nil || err.Error() != "Unknown partitions: a, b" {
		t.Errorf("error %v", err)
	}
	n.options.Only = []string{"c"}
	if _, err := InstancePass(t.Context(), n.options); err == nil || err.Error() != "Unknown partition: c" {
		t.Errorf("error %v", err)
	}
}

func TestInstancePassFreePartitions(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.change("slappart0", func(p *slap.Partition) {
		p.RequestedState, p.SoftwareRelease, p.NeedModification, p.Parameters = slap.StateDestroyed, nil, false, nil
	})
	writeFile(t, n.at("slappart0", ".timestamp"), "1")
	writeFile(t, n.at("slappart0", ".slapgrid", "log", "instance.log"), "")
	writeFile(t, n.at("slappart0", ".slapos-resource"), "{}")
	n.process(0)
	n.master.expect(t, false, "getFullComputerInformation")
	if exists(n.at("slappart0", ".timestamp")) || exists(n.at("slappart0", ".slapgrid")) || !exists(n.at("slappart0", ".slapos-resource")) {
		t.Error("not tidied up")
	}
}

func TestInstancePassCertificates(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.options.CertificateRepository = testenv.Directory(t)
	n.master.set(func() {
		n.master.answers["getComputerPartitionCertificate"] = slap.Dict{"certificate": "CERT", "key": "KEY"}
	})
	n.process(0)
	n.master.expect(t, false, "getFullComputerInformation", "getComputerPartitionCertificate slappart0", "startedComputerPartition slappart0")
	for name, want := range map[string]string{"slappart0.crt": "CERT", "slappart0.key": "KEY"} {
		path := filepath.Join(n.options.CertificateRepository, name)
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o400 || ownerOf(t, path) != testenv.User() || readFile(t, path) != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	profile := readFile(t, n.at("slappart0", "buildout.cfg"))
	if !strings.Contains(profile, "key-file = "+filepath.Join(n.options.CertificateRepository, "slappart0.key")+"\n") {
		t.Errorf("profile\n%s", profile)
	}
	n.touch("slappart0")
	n.master.set(func() { n.master.status["getComputerPartitionCertificate"] = http.StatusNotFound })
	n.process(1)
	if n.log.index("Partition slappart0 is not known by SlapOS Master.") < 0 {
		t.Errorf("log\n%s", n.log)
	}
}

func TestInstancePassRequests(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	const name = ".slapos-request-transaction-slappart0"
	writeFile(t, n.at("slappart0", name), "of an interrupted pass\n")
	n.deployWith(`printf 'a\n\nb\n' >> ` + name + `; echo $SLAPGRID_INSTANCE_ROOT > root`)
	n.process(0)
	calls := n.master.expect(t, false, "getFullComputerInformation", "startedComputerPartition slappart0", "updateComputerPartitionRelatedInstanceList slappart0")
	sent, err := slap.Unmarshal([]byte(calls[2].form.Get("instance_reference_xml")))
	if err != nil || fmt.Sprint(sent) != "[a b]" {
		t.Errorf("sent %v, %v", sent, err)
	}
	if got := readFile(t, n.at("slappart0", "root")); got != n.options.InstanceRoot+"\n" {
		t.Errorf("SLAPGRID_INSTANCE_ROOT=%q", got)
	}
	// A master of old doesn't know the call.
	n.touch("slappart0")
	n.master.set(func() { n.master.status["updateComputerPartitionRelatedInstanceList"] = http.StatusNotFound })
	n.process(0)
}

func TestInstancePassPromises(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.deployWith(service("promise", "check", "test -e ok || { echo not ok; exit 1; }"))
	result := n.process(2)
	if len(result.PromiseFailed) != 1 || len(result.Failed) != 0 {
		t.Errorf("result %+v", result)
	}
	calls := n.master.expect(t, false, "getFullComputerInformation", "softwareInstanceError slappart0")
	if got := calls[1].form.Get("error_log"); got != "Promise 'check' failed with output: not ok" {
		t.Errorf("reported %q", got)
	}
	if exists(n.at("slappart0", ".timestamp")) || exists(n.at("slappart0", ".slapgrid-slappart0-error.log")) {
		t.Error("a timestamp, or an error file")
	}
	if n.log.index("  slappart0[test]: Promise 'check' failed with output: not ok") < 0 {
		t.Errorf("log\n%s", n.log)
	}
	writeFile(t, n.at("slappart0", "ok"), "")
	n.process(0)
	n.master.take()

	if result, err := PromisePass(t.Context(), n.options); err != nil || result.ExitCode() != 0 {
		t.Errorf("result %+v, %v", result, err)
	}
	os.Remove(n.at("slappart0", "ok"))
	if result, err := PromisePass(t.Context(), n.options); err != nil || result.ExitCode() != 2 {
		t.Errorf("result %+v, %v", result, err)
	}
	n.master.expect(t, false, "getFullComputerInformation", "getFullComputerInformation")
}

// A partition that is up to date tells the master what it doesn't know yet.
func TestInstancePassAnomalies(t *testing.T) {
	for _, test := range []struct {
		status string // "-": none
		good   bool
		want   string
	}{
		{"-", true, "startedComputerPartition slappart0"},
		{"#error", true, "startedComputerPartition slappart0"},
		{"#access", true, ""},
		{"-", false, "softwareInstanceError slappart0"},
		{"#error", false, ""},
		{"#access", false, "softwareInstanceError slappart0"},
	} {
		t.Run(fmt.Sprint(test.status, test.good), func(t *testing.T) {
			n := newInstanceNode(t, "slappart0")
			n.process(0)
			n.master.take()
			if err := os.MkdirAll(n.at("slappart0", "etc", "promise"), 0o755); err != nil {
				t.Fatal(err)
			}
			exit := map[bool]string{true: "exit 0", false: "exit 1"}[test.good]
			n.script(n.at("slappart0", "etc", "promise", "check"), exit)
			if !test.good {
				// One bad run is no anomaly yet.
				if _, err := PromisePass(t.Context(), n.options); err != nil {
					t.Fatal(err)
				}
				n.master.take()
			}
			n.change("slappart0", func(p *slap.Partition) { p.AccessStatus, p.HasAccessStatus = test.status, test.status != "-" })
			n.process(0)
			want := []string{"getFullComputerInformation"}
			if test.want != "" {
				want = append(want, test.want)
			}
			n.master.expect(t, false, want...)
		})
	}
}

func TestInstancePassOffline(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.deployWith(service("service", "web", "exec sleep 1000"))
	n.process(0)
	client := supervisor.NewClient(n.layout().Socket())
	defer client.Close()
	if err := client.StopAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	writeFile(t, n.at("slappart1", ".requested_state"), "stopped")
	n.master.set(func() { n.master.status["getFullComputerInformation"] = http.StatusServiceUnavailable })
	n.process(3)
	n.expectRunning("slappart0:web-on-watch")
	if exists(n.at("slappart1", ".requested_state")) {
		t.Error("the state of old is left")
	}

	// The master goes away in the middle of the pass.
	n.master.set(func() {
		delete(n.master.status, "getFullComputerInformation")
		n.master.status["startedComputerPartition"] = http.StatusInternalServerError
	})
	n.touch("slappart0")
	n.touch("slappart1")
	n.master.take()
	n.process(3)
	n.master.expect(t, false, "getFullComputerInformation", "startedComputerPartition slappart0")
	n.expectRunning("slappart0:web-on-watch")

	n.master.Close()
	n.process(3)
	if _, err := PromisePass(t.Context(), n.options); !errors.Is(err, slap.ErrConnection) {
		t.Errorf("promises without a master: %v", err)
	}
}

func TestInstancePassUnknownComputer(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.master.set(func() { n.master.status["getFullComputerInformation"] = http.StatusNotFound })
	if _, err := InstancePass(t.Context(), n.options); !errors.Is(err, slap.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

func (m *testManager) Instance(_ context.Context, p *manager.Partition) error {
	return m.hook("instance " + p.ID)
}

// InstanceTearDown keeps a group of its own in started partitions.
func (m *testManager) InstanceTearDown(ctx context.Context, p *manager.Partition) error {
	if err := m.hook("tear down " + p.ID); err != nil || m.program == "" {
		return err
	}
	program := manager.Program{Name: "helper", Command: m.program, UID: p.UID, GID: p.GID}
	if err := p.Supervisor.SetGroup(ctx, "extra", []manager.Program{program}); err != nil {
		return err
	}
	if fresh, err := p.Supervisor.NeverStarted(ctx, "extra", "helper"); err != nil || !fresh {
		return err
	}
	return p.Supervisor.Start(ctx, "extra", "helper")
}

func TestInstancePassManagers(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1", "slappart2")
	m := &testManager{}
	n.options.Managers = []manager.Manager{m}
	n.process(0)
	n.deployWith("exit 1")
	n.touch("slappart1")
	n.change("slappart2", func(p *slap.Partition) { p.RequestedState = slap.StateDestroyed })
	n.touch("slappart2")
	m.calls = nil
	n.process(1)
	want := []string{"instance slappart0", "tear down slappart0", "instance slappart1", "tear down slappart1", "instance slappart2", "tear down slappart2"}
	if !slices.Equal(m.calls, want) {
		t.Errorf("hooks %q, want %q", m.calls, want)
	}
	n.deployWith("")
	m.calls, m.fail = nil, "tear down slappart1"
	n.process(1)
	if exists(n.at("slappart1", ".timestamp")) {
		t.Error("a timestamp though the manager failed")
	}
	m.calls, m.fail = nil, "instance slappart1"
	n.process(1)
	if slices.Contains(m.calls, "tear down slappart1") {
		t.Errorf("hooks %q", m.calls)
	}
}

func TestInstancePassManagerGroups(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.deployWith(service("service", "web", "exec sleep 1000"))
	m := &testManager{program: "/bin/sleep 1000"}
	n.options.Managers = []manager.Manager{m}
	n.process(0)
	n.expectRunning("slappart0-extra:helper", "slappart0:web-on-watch")
	helper := n.processes()["slappart0-extra:helper"].Pid
	n.touch("slappart0")
	n.process(0)
	n.expectRunning("slappart0-extra:helper", "slappart0:web-on-watch")
	if got := n.processes()["slappart0-extra:helper"].Pid; got != helper {
		t.Error("the manager's program was restarted")
	}
	m.program = ""
	n.process(0) // unchanged: nothing is written (MGR-33)
	n.expectRunning("slappart0-extra:helper", "slappart0:web-on-watch")
	n.touch("slappart0")
	n.process(0)
	n.expectRunning("slappart0:web-on-watch")
}

func TestInstancePassPartitionOfRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		return // GRID-13 is for root
	}
	n := newInstanceNode(t, "slappart0")
	if err := os.Chown(n.at("slappart0"), 0, 0); err != nil {
		t.Fatal(err)
	}
	n.process(1)
	if exists(n.at("slappart0", "log")) || !strings.Contains(n.log.String(), "too dangerous") {
		t.Errorf("log\n%s", n.log)
	}
}

func TestInstanceLogRotation(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	log := n.at("slappart0", ".slapgrid/log/instance.log")
	n.process(0)
	if err := os.Truncate(log, maxInstanceLog); err != nil {
		t.Fatal(err)
	}
	n.touch("slappart0")
	n.process(0)
	if info, err := os.Stat(log + ".1"); err != nil || info.Size() != maxInstanceLog {
		t.Errorf("old log: %v, %v", info, err)
	}
	if info, err := os.Stat(log); err != nil || info.Size() > 1<<20 {
		t.Errorf("new log: %v, %v", info, err)
	}
}
