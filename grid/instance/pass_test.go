// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/confined"
	"slapos/slap/testkit"
)

func TestInstancePassStarts(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.options.Jobs = 2
	n.options.SharedParts = []string{"/shared"}
	n.deployWith(service("service", "web", "exec sleep 1000") + service("run", "once", "exec sleep 1000"))
	n.process(0)
	n.master.expect(t, true, "getFullComputerInformation", "startedComputerPartition slappart0", "startedComputerPartition slappart1")
	n.expectRunning("slappart0:once", "slappart0:web-on-watch", "slappart1:once", "slappart1:web-on-watch")
	for _, name := range []string{"slappart0", "slappart1"} {
		if got := testkit.ReadFile(t, n.at(name, ".timestamp")); got != "1" {
			t.Errorf("%s: timestamp %q", name, got)
		}
		if got, err := os.Readlink(n.at(name, "software_release")); err != nil || got != n.path(testRelease) {
			t.Errorf("%s: link to %q, %v", name, got, err)
		}
		if got := testkit.ReadFile(t, n.at(name, ".slapos-retention-lock-delay")); got != "0.0" {
			t.Errorf("%s: retention %q", name, got)
		}
		profile := testkit.ReadFile(t, n.at(name, "buildout.cfg"))
		if !strings.HasPrefix(profile, "[template]\n\n\n") || !strings.Contains(profile, "\npartition-id = "+name+"\n") ||
			!strings.Contains(profile, "\nshared-part-list =\n  /shared\n") || !strings.Contains(profile, "\nrequested-state = started\n") {
			t.Errorf("%s: profile\n%s", name, profile)
		}
		info, _ := os.Stat(n.at(name, "buildout.cfg"))
		if uid, gid := confined.Owner(info); info.Mode() != 0o640 || uid != os.Geteuid() || os.Geteuid() == 0 && gid != testkit.User() {
			t.Errorf("%s: profile of %d:%d, mode %v", name, uid, gid, info.Mode())
		}
		if info, err := os.Stat(n.at(name, ".slapgrid/promise/result")); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: results of promises: %v, %v", name, info, err)
		}
		if log := testkit.ReadFile(t, n.at(name, ".slapgrid/log/instance.log")); !strings.Contains(log, " INFO     slapos Processing Computer Partition "+name+".\n") {
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
	for _, line := range []string{"Stopped 'slappart1'", "Removed 'slappart1'", "Updated 'slappart1'"} { // GRID-74
		if n.log.index(line) < 0 {
			t.Errorf("no %q in\n%s", line, n.log)
		}
	}
	if after := n.processes(); after["slappart0:once"].Pid != before["slappart0:once"].Pid {
		t.Error("a service of an unchanged partition was restarted")
	}
	if got := testkit.ReadFile(t, n.at("slappart0", "log")); got != "deployed\n" {
		t.Errorf("slappart0 was deployed: %q", got)
	}
}

// GRID-87.
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
	if got := testkit.ReadFile(t, n.at("slappart0", "log")); got != "deployed\ndeployed\n" {
		t.Errorf("a stopped instance was not deployed: %q", got)
	}
	for _, line := range []string{"Installing Computer Partition slappart0...", "Requested start of slappart0...",
		"Requested stop of slappart0...", "Requested stop of slappart1..."} {
		if n.log.index(line) < 0 {
			t.Errorf("no %q in\n%s", line, n.log)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(n.layout().ConfigDir(), "slappart*")); len(files) > 0 {
		t.Errorf("configuration left: %q", files)
	}
	if !testkit.Exists(n.at("slappart1", "etc/service/web")) {
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

// Secrets are hidden from the master and from the partition's user.
func TestHide(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.options.Hide = func(text string) string { return strings.ReplaceAll(text, "s3cret", "***") }
	n.deployWith("echo http://me:s3cret@host/; exit 1")
	n.process(1)
	calls := n.master.expect(t, false, "getFullComputerInformation", "softwareInstanceError slappart0")
	for name, text := range map[string]string{
		"the master": calls[1].form.Get("error_log"),
		"the error":  testkit.ReadFile(t, n.at("slappart0", ".slapgrid-slappart0-error.log")),
		"the log":    testkit.ReadFile(t, n.at("slappart0", ".slapgrid/log/instance.log")),
	} {
		if strings.Contains(text, "s3cret") || !strings.Contains(text, "http://me:***@host/") {
			t.Errorf("%s is told %s", name, text)
		}
	}
	const broken = "http://release/b.cfg"
	n.want(slap.StateAvailable, broken)
	n.buildWith("echo http://me:s3cret@host/; exit 1")
	n.run(1)
	calls = n.master.expect(t, false, "getFullComputerInformation", "buildingSoftwareRelease "+broken, "softwareReleaseError "+broken)
	if text := calls[2].form.Get("error_log"); strings.Contains(text, "s3cret") || !strings.Contains(text, "http://me:***@host/") {
		t.Errorf("the master is told %s", text)
	}
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
	if got := testkit.ReadFile(t, n.at("slappart0", ".slapgrid-slappart0-error.log")); got != want {
		t.Errorf("error file %q", got)
	}
	if testkit.Exists(n.at("slappart0", ".timestamp")) || !testkit.Exists(n.at("slappart1", ".timestamp")) {
		t.Error("a timestamp after a failure, or none after success")
	}
	for _, line := range []string{"Error while processing the following partitions:", "  slappart0[test]: " + want} {
		if n.log.index(line) < 0 {
			t.Errorf("no %q in\n%s", line, n.log)
		}
	}
	n.deployWith("")
	n.process(0)
	if testkit.Exists(n.at("slappart0", ".slapgrid-slappart0-error.log")) {
		t.Error("the error file is left")
	}
}

// A master that takes no reports of errors keeps no partition from being processed.
func TestInstancePassReportsInVain(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.deployWith(`if [ $(basename $PWD) = slappart0 ]; then exit 1; fi`)
	n.master.set(func() { n.master.status["softwareInstanceError"] = http.StatusInternalServerError })
	n.process(1)
	n.master.expect(t, false, "getFullComputerInformation", "softwareInstanceError slappart0", "startedComputerPartition slappart1")
	if !testkit.Exists(n.at("slappart1", ".timestamp")) {
		t.Error("slappart1 was not processed")
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

// A master may lie: what is no name of a directory of the root of instances is
// no partition, wherever it leads.
func TestInstancePassRefusesPaths(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	elsewhere := filepath.Join(filepath.Dir(n.options.InstanceRoot), "elsewhere")
	for _, path := range []string{elsewhere, n.at("slappart0", "inner")} {
		if err := os.Mkdir(path, 0o750); err != nil {
			t.Fatal(err)
		}
		testkit.HandOver(t, path)
	}
	names := []string{"../elsewhere", "slappart0/inner", "./slappart0", "."}
	n.master.set(func() { n.master.computer.Partitions = nil })
	want := []string{"getFullComputerInformation"}
	for _, name := range names {
		n.allocate(name, slap.StateStarted)
		want = append(want, "softwareInstanceError "+name)
	}
	n.process(0)
	for i, call := range n.master.expect(t, false, want...)[1:] {
		if got, want := call.form.Get("error_log"), fmt.Sprintf("%q is not the name of a partition", names[i]); got != want {
			t.Errorf("reported %q, want %q", got, want)
		}
	}
	for _, path := range []string{elsewhere, n.at("slappart0", "inner"), n.at("slappart0")} {
		if testkit.Exists(filepath.Join(path, "log")) {
			t.Errorf("%s was deployed", path)
		}
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
	testkit.WriteFile(t, n.at("slappart0", ".timestamp"), "1")
	testkit.WriteFile(t, n.at("slappart0", ".slapgrid", "log", "instance.log"), "")
	testkit.WriteFile(t, n.at("slappart0", ".slapos-resource"), "{}")
	n.process(0)
	n.master.expect(t, false, "getFullComputerInformation")
	if testkit.Exists(n.at("slappart0", ".timestamp")) || testkit.Exists(n.at("slappart0", ".slapgrid")) || !testkit.Exists(n.at("slappart0", ".slapos-resource")) {
		t.Error("not tidied up")
	}
}

func TestInstancePassCertificates(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.options.CertificateRepository = testenv.Directory(t)
	n.master.set(func() {
		n.master.answers["getComputerPartitionCertificate"] = slap.Dict{"certificate": "CERT", "key": "KEY"}
	})
	n.process(0)
	// As late as possible: when it is a partition's turn.
	n.master.expect(t, false, "getFullComputerInformation", "getComputerPartitionCertificate slappart0", "startedComputerPartition slappart0",
		"getComputerPartitionCertificate slappart1", "startedComputerPartition slappart1")
	for name, want := range map[string]string{"slappart0.crt": "CERT", "slappart0.key": "KEY"} {
		path := filepath.Join(n.options.CertificateRepository, name)
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o400 || testkit.OwnerOf(t, path) != testkit.User() || testkit.ReadFile(t, path) != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	profile := testkit.ReadFile(t, n.at("slappart0", "buildout.cfg"))
	if !strings.Contains(profile, "key-file = "+filepath.Join(n.options.CertificateRepository, "slappart0.key")+"\n") {
		t.Errorf("profile\n%s", profile)
	}
	// Not for one of which there is nothing to tell; what has changed is written.
	n.change("slappart0", func(p *slap.Partition) { p.AccessStatus, p.HasAccessStatus = "#access", true })
	n.touch("slappart1")
	n.master.set(func() {
		n.master.answers["getComputerPartitionCertificate"] = slap.Dict{"certificate": "NEW", "key": "KEY"}
	})
	n.process(0)
	n.master.expect(t, false, "getFullComputerInformation", "getComputerPartitionCertificate slappart1", "startedComputerPartition slappart1")
	for name, want := range map[string]string{"slappart0.crt": "CERT", "slappart1.crt": "NEW"} {
		if got := testkit.ReadFile(t, filepath.Join(n.options.CertificateRepository, name)); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	n.touch("slappart0")
	n.master.set(func() { n.master.status["getComputerPartitionCertificate"] = http.StatusNotFound })
	n.process(1)
	if n.log.index("Partition slappart0 is not known by SlapOS Master.") < 0 {
		t.Errorf("log\n%s", n.log)
	}
}

// GRID-12.
func TestInstancePassRequests(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	const name = ".slapos-request-transaction-slappart0"
	testkit.WriteFile(t, n.at("slappart0", name), "of an interrupted pass\n")
	n.deployWith(`printf 'a\n\nb\n' >> ` + name + `; echo $SLAPGRID_INSTANCE_ROOT > root`)
	n.process(0)
	calls := n.master.expect(t, false, "getFullComputerInformation", "startedComputerPartition slappart0", "updateComputerPartitionRelatedInstanceList slappart0")
	sent, err := slap.Unmarshal([]byte(calls[2].form.Get("instance_reference_xml")))
	if err != nil || fmt.Sprint(sent) != "[a b]" {
		t.Errorf("sent %v, %v", sent, err)
	}
	if got := testkit.ReadFile(t, n.at("slappart0", "root")); got != n.options.InstanceRoot+"\n" {
		t.Errorf("SLAPGRID_INSTANCE_ROOT=%q", got)
	}
	// SLAP-49: so does the original's library, inside a partition.
	n.deployWith(testkit.Python(t) + ` -c '
from slapos.slap.slap import ComputerPartition
try: ComputerPartition("COMP-1", "slappart0").request("http://x", "default", "child")
except AttributeError: pass # no connection'`)
	n.touch("slappart0")
	n.master.take()
	n.process(0)
	calls = n.master.expect(t, false, "getFullComputerInformation", "startedComputerPartition slappart0", "updateComputerPartitionRelatedInstanceList slappart0")
	if sent, err := slap.Unmarshal([]byte(calls[2].form.Get("instance_reference_xml"))); err != nil || fmt.Sprint(sent) != "[child]" {
		t.Errorf("of the original: sent %v, %v", sent, err)
	}
	// A master of old doesn't know the call.
	n.touch("slappart0")
	n.master.set(func() { n.master.status["updateComputerPartitionRelatedInstanceList"] = http.StatusNotFound })
	n.process(0)
}

func TestInstancePassPartitionOfRoot(t *testing.T) {
	testkit.Root(t) // whom GRID-13 is for
	n := newInstanceNode(t, "slappart0")
	if err := os.Chown(n.at("slappart0"), 0, 0); err != nil {
		t.Fatal(err)
	}
	n.process(1)
	if testkit.Exists(n.at("slappart0", "log")) || !strings.Contains(n.log.String(), "too dangerous") {
		t.Errorf("log\n%s", n.log)
	}
}
