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

func TestPassStarts(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.Pass.Jobs = 2
	n.Pass.SharedParts = "/shared"
	n.DeployWith(testenv.Service("service", "web", "exec sleep 1000") + testenv.Service("run", "once", "exec sleep 1000"))
	n.process(0)
	n.Master.ExpectInAnyOrder(t, "getFullComputerInformation", "startedComputerPartition slappart0", "startedComputerPartition slappart1")
	n.ExpectRunning("slappart0:once", "slappart0:web-on-watch", "slappart1:once", "slappart1:web-on-watch")
	for _, name := range []string{"slappart0", "slappart1"} {
		if got := testkit.ReadFile(t, n.At(name, ".timestamp")); got != "1" {
			t.Errorf("%s: timestamp %q", name, got)
		}
		if got, err := os.Readlink(n.At(name, "software_release")); err != nil || got != n.Path(testenv.Release) {
			t.Errorf("%s: link to %q, %v", name, got, err)
		}
		if got := testkit.ReadFile(t, n.At(name, ".slapos-retention-lock-delay")); got != "0.0" {
			t.Errorf("%s: retention %q", name, got)
		}
		profile := testkit.ReadFile(t, n.At(name, "buildout.cfg"))
		if !strings.HasPrefix(profile, "[template]\n\n\n") || !strings.Contains(profile, "\npartition-id = "+name+"\n") ||
			!strings.Contains(profile, "\nshared-part-list =\n  /shared\n") || !strings.Contains(profile, "\nrequested-state = started\n") {
			t.Errorf("%s: profile\n%s", name, profile)
		}
		info, _ := os.Stat(n.At(name, "buildout.cfg"))
		if uid, gid := confined.Owner(info); info.Mode() != 0o640 || uid != os.Geteuid() || os.Geteuid() == 0 && gid != testkit.User() {
			t.Errorf("%s: profile of %d:%d, mode %v", name, uid, gid, info.Mode())
		}
		if info, err := os.Stat(n.At(name, ".slapgrid/promise/result")); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: results of promises: %v, %v", name, info, err)
		}
		if log := testkit.ReadFile(t, n.At(name, ".slapgrid/log/instance.log")); !strings.Contains(log, " INFO     slapos Processing Computer Partition "+name+".\n") {
			t.Errorf("%s: instance.log\n%s", name, log)
		}
	}

	// Unchanged: the master is informed again only because it returned no status.
	before := n.Processes()
	n.process(0)
	n.Master.ExpectInAnyOrder(t, "getFullComputerInformation", "startedComputerPartition slappart0", "startedComputerPartition slappart1")
	for _, name := range []string{"slappart0", "slappart1"} {
		n.Change(name, func(p *slap.Partition) {
			p.AccessStatus, p.HasAccessStatus = "#access Instance correctly started", true
		})
	}
	n.process(0)
	n.Master.Expect(t, "getFullComputerInformation")

	// Changed: one service goes, the node's others stay as they are.
	n.DeployWith("rm etc/run/once")
	n.Touch("slappart1")
	n.process(0)
	n.Master.Expect(t, "getFullComputerInformation", "startedComputerPartition slappart1")
	n.ExpectRunning("slappart0:once", "slappart0:web-on-watch", "slappart1:web-on-watch")
	for _, line := range []string{"Stopped 'slappart1'", "Removed 'slappart1'", "Updated 'slappart1'"} { // GRID-74
		if n.Log.Index(line) < 0 {
			t.Errorf("no %q in\n%s", line, n.Log)
		}
	}
	if after := n.Processes(); after["slappart0:once"].Pid != before["slappart0:once"].Pid {
		t.Error("a service of an unchanged partition was restarted")
	}
	if got := testkit.ReadFile(t, n.At("slappart0", "log")); got != "deployed\n" {
		t.Errorf("slappart0 was deployed: %q", got)
	}
}

// GRID-87.
func TestPassStopsAndDestroys(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.DeployWith(testenv.Service("service", "web", "exec sleep 1000"))
	n.process(0)
	n.Master.Take()
	n.Change("slappart0", func(p *slap.Partition) { p.RequestedState = slap.StateStopped })
	n.Change("slappart1", func(p *slap.Partition) { p.RequestedState = slap.StateDestroyed })
	n.Touch("slappart0")
	n.Touch("slappart1")
	n.process(0)
	n.Master.Expect(t, "getFullComputerInformation", "stoppedComputerPartition slappart0", "stoppedComputerPartition slappart1")
	n.ExpectRunning()
	if got := testkit.ReadFile(t, n.At("slappart0", "log")); got != "deployed\ndeployed\n" {
		t.Errorf("a stopped instance was not deployed: %q", got)
	}
	for _, line := range []string{"Installing Computer Partition slappart0...", "Requested start of slappart0...",
		"Requested stop of slappart0...", "Requested stop of slappart1..."} {
		if n.Log.Index(line) < 0 {
			t.Errorf("no %q in\n%s", line, n.Log)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(n.Layout().ConfigDir(), "slappart*")); len(files) > 0 {
		t.Errorf("configuration left: %q", files)
	}
	if !testkit.Exists(n.At("slappart1", "etc/service/web")) {
		t.Error("files of a destroyed instance are gone before its report")
	}

	// It is stopped even though deployment fails, and reported again afterwards.
	n.Change("slappart0", func(p *slap.Partition) { p.RequestedState = slap.StateStarted })
	n.Touch("slappart0")
	n.process(0)
	n.ExpectRunning("slappart0:web-on-watch")
	n.Master.Take()
	n.Change("slappart0", func(p *slap.Partition) { p.RequestedState = slap.StateStopped })
	n.Touch("slappart0")
	n.DeployWith("exit 1")
	n.process(1)
	n.ExpectRunning()
	n.Master.Expect(t, "getFullComputerInformation", "softwareInstanceError slappart0")
	n.DeployWith("")
	n.process(0)
	n.Master.Expect(t, "getFullComputerInformation", "stoppedComputerPartition slappart0")
}

// Secrets are hidden from the master and from the partition's user.
func TestHide(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.Pass.Hide = func(text string) string { return strings.ReplaceAll(text, "s3cret", "***") }
	n.DeployWith("echo http://me:s3cret@host/; exit 1")
	n.process(1)
	calls := n.Master.Expect(t, "getFullComputerInformation", "softwareInstanceError slappart0")
	for name, text := range map[string]string{
		"the master": calls[1].Form.Get("error_log"),
		"the error":  testkit.ReadFile(t, n.At("slappart0", ".slapgrid-slappart0-error.log")),
		"the log":    testkit.ReadFile(t, n.At("slappart0", ".slapgrid/log/instance.log")),
	} {
		if strings.Contains(text, "s3cret") || !strings.Contains(text, "http://me:***@host/") {
			t.Errorf("%s is told %s", name, text)
		}
	}
	const broken = "http://release/b.cfg"
	n.Want(slap.StateAvailable, broken)
	n.BuildWith("echo http://me:s3cret@host/; exit 1")
	n.build(1)
	calls = n.Master.Expect(t, "getFullComputerInformation", "buildingSoftwareRelease "+broken, "softwareReleaseError "+broken)
	if text := calls[2].Form.Get("error_log"); strings.Contains(text, "s3cret") || !strings.Contains(text, "http://me:***@host/") {
		t.Errorf("the master is told %s", text)
	}
}

func TestPassFails(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.DeployWith(`if [ $(basename $PWD) = slappart0 ]; then echo broken; exit 1; fi`)
	result := n.process(1)
	if len(result.Failed) != 1 || result.Failed[0].Item != "slappart0" || result.Failed[0].Type != "test" {
		t.Errorf("failures %+v", result.Failed)
	}
	calls := n.Master.Expect(t, "getFullComputerInformation", "softwareInstanceError slappart0", "startedComputerPartition slappart1")
	want := "Failed to run buildout profile in directory '" + n.At("slappart0") + "':\nbroken\n\n"
	if got := calls[1].Form.Get("error_log"); got != want {
		t.Errorf("reported %q, want %q", got, want)
	}
	if got := testkit.ReadFile(t, n.At("slappart0", ".slapgrid-slappart0-error.log")); got != want {
		t.Errorf("error file %q", got)
	}
	if testkit.Exists(n.At("slappart0", ".timestamp")) || !testkit.Exists(n.At("slappart1", ".timestamp")) {
		t.Error("a timestamp after a failure, or none after success")
	}
	for _, line := range []string{"Error while processing the following partitions:", "  slappart0[test]: " + want} {
		if n.Log.Index(line) < 0 {
			t.Errorf("no %q in\n%s", line, n.Log)
		}
	}
	n.DeployWith("")
	n.process(0)
	if testkit.Exists(n.At("slappart0", ".slapgrid-slappart0-error.log")) {
		t.Error("the error file is left")
	}
}

// A master that rejects error reports doesn't keep other partitions from being
// processed.
func TestPassReportsInVain(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.DeployWith(`if [ $(basename $PWD) = slappart0 ]; then exit 1; fi`)
	n.Master.Set(func() { n.Master.Status["softwareInstanceError"] = http.StatusInternalServerError })
	n.process(1)
	n.Master.Expect(t, "getFullComputerInformation", "softwareInstanceError slappart0", "startedComputerPartition slappart1")
	if !testkit.Exists(n.At("slappart1", ".timestamp")) {
		t.Error("slappart1 was not processed")
	}
}

func TestPassRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*instanceNode)
		want  string
	}{
		"no directory": {func(n *instanceNode) { os.Remove(n.At("slappart0")) }, "Partition directory DIR does not exist."},
		"mode":         {func(n *instanceNode) { os.Chmod(n.At("slappart0"), 0o755) }, "Wrong permissions in DIR: actual permissions are: 0755, wanted are 0750"},
		"no release": {func(n *instanceNode) { os.RemoveAll(n.Path(testenv.Release)) },
			"Software Release " + testenv.Release + " is not present on system.\nCannot deploy instance."},
		"no template": {func(n *instanceNode) { os.Remove(n.Path(testenv.Release, "instance.cfg")) },
			"Software Release " + testenv.Release + " is not correctly installed.\nMissing file: SR/instance.cfg"},
		"no URL": {func(n *instanceNode) { n.Change("slappart0", func(p *slap.Partition) { p.SoftwareRelease = nil }) },
			"Partition slappart0 has no software release: the master names none."},
		"state": {func(n *instanceNode) { n.Change("slappart0", func(p *slap.Partition) { p.RequestedState = "paused" }) },
			"Computer Partition 'slappart0' has unsupported state: paused"},
		"space": {func(n *instanceNode) { n.options.MinFreeSpace = 1 << 62 }, "Not enough space for DIR"},
		"two bootstraps": {func(n *instanceNode) {
			n.Script(n.Path(testenv.Release, "bin", "bootstrap1"), "")
			n.Script(n.Path(testenv.Release, "bin", "bootstrap2"), "")
		}, "Software Release " + testenv.Release + " has more than one bootstrap program in SR/bin: 2"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newInstanceNode(t, "slappart0")
			test.spoil(n)
			wantExit := 1
			if name == "no directory" {
				wantExit = 0 // GRID-42
			}
			n.process(wantExit)
			calls := n.Master.Expect(t, "getFullComputerInformation", "softwareInstanceError slappart0")
			want := strings.NewReplacer("DIR", n.At("slappart0"), "SR", n.Path(testenv.Release)).Replace(test.want)
			if got := calls[len(calls)-1].Form.Get("error_log"); !strings.HasPrefix(got, want) {
				t.Errorf("reported %q, want %q", got, want)
			}
		})
	}
}

// The master may lie: a name that isn't a directory of the instance root is not
// a partition, wherever it leads.
func TestPassRefusesPaths(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	elsewhere := filepath.Join(n.Base(), "elsewhere")
	for _, path := range []string{elsewhere, n.At("slappart0", "inner")} {
		if err := os.Mkdir(path, 0o750); err != nil {
			t.Fatal(err)
		}
		testkit.HandOver(t, path)
	}
	names := []string{"../elsewhere", "slappart0/inner", "./slappart0", "."}
	n.Master.Set(func() { n.Master.Wanted.Partitions = nil })
	want := []string{"getFullComputerInformation"}
	for _, name := range names {
		n.Allocate(name, slap.StateStarted)
		want = append(want, "softwareInstanceError "+name)
	}
	n.process(0)
	for i, call := range n.Master.Expect(t, want...)[1:] {
		if got, want := call.Form.Get("error_log"), fmt.Sprintf("%q is not the name of a partition", names[i]); got != want {
			t.Errorf("reported %q, want %q", got, want)
		}
	}
	for _, path := range []string{elsewhere, n.At("slappart0", "inner"), n.At("slappart0")} {
		if testkit.Exists(filepath.Join(path, "log")) {
			t.Errorf("%s was deployed", path)
		}
	}
}

func TestPassForceStop(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.DeployWith(testenv.Service("service", "web", "exec sleep 1000"))
	n.process(0)
	n.ExpectRunning("slappart0:web-on-watch")
	n.Master.Take()
	n.options.ForceStop = true
	n.process(0)
	n.ExpectRunning()
	n.Master.Expect(t, "getFullComputerInformation")
}

func TestPassOnly(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.Pass.Only = []string{"slappart1"}
	n.process(0)
	n.Master.Expect(t, "getFullComputerInformation", "startedComputerPartition slappart1")
	n.Pass.Only = []string{"b", "slappart1", "a", "b"}
	if _, err := n.pass(t.Context()); err == nil || err.Error() != "Unknown partitions: a, b" {
		t.Errorf("error %v", err)
	}
	n.Pass.Only = []string{"c"}
	if _, err := n.pass(t.Context()); err == nil || err.Error() != "Unknown partition: c" {
		t.Errorf("error %v", err)
	}
}

func TestPassFreePartitions(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.Change("slappart0", func(p *slap.Partition) {
		p.RequestedState, p.SoftwareRelease, p.NeedModification, p.Parameters = slap.StateDestroyed, nil, false, nil
	})
	testkit.WriteFile(t, n.At("slappart0", ".timestamp"), "1")
	testkit.WriteFile(t, n.At("slappart0", ".slapgrid", "log", "instance.log"), "")
	testkit.WriteFile(t, n.At("slappart0", ".slapos-resource"), "{}")
	n.process(0)
	n.Master.Expect(t, "getFullComputerInformation")
	if testkit.Exists(n.At("slappart0", ".timestamp")) || testkit.Exists(n.At("slappart0", ".slapgrid")) || !testkit.Exists(n.At("slappart0", ".slapos-resource")) {
		t.Error("not tidied up")
	}
}

func TestPassCertificates(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.options.CertificateRepository = testenv.Directory(t)
	n.Master.Set(func() {
		n.Master.Answers["getComputerPartitionCertificate"] = slap.Dict{"certificate": "CERT", "key": "KEY"}
	})
	n.process(0)
	// As late as possible: when it is the partition's turn.
	n.Master.Expect(t, "getFullComputerInformation", "getComputerPartitionCertificate slappart0", "startedComputerPartition slappart0",
		"getComputerPartitionCertificate slappart1", "startedComputerPartition slappart1")
	for name, want := range map[string]string{"slappart0.crt": "CERT", "slappart0.key": "KEY"} {
		path := filepath.Join(n.options.CertificateRepository, name)
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o400 || testkit.OwnerOf(t, path) != testkit.User() || testkit.ReadFile(t, path) != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	profile := testkit.ReadFile(t, n.At("slappart0", "buildout.cfg"))
	if !strings.Contains(profile, "key-file = "+filepath.Join(n.options.CertificateRepository, "slappart0.key")+"\n") {
		t.Errorf("profile\n%s", profile)
	}
	// This call is left out if there is nothing to report; changes are written.
	n.Change("slappart0", func(p *slap.Partition) { p.AccessStatus, p.HasAccessStatus = "#access", true })
	n.Touch("slappart1")
	n.Master.Set(func() {
		n.Master.Answers["getComputerPartitionCertificate"] = slap.Dict{"certificate": "NEW", "key": "KEY"}
	})
	n.process(0)
	n.Master.Expect(t, "getFullComputerInformation", "getComputerPartitionCertificate slappart1", "startedComputerPartition slappart1")
	for name, want := range map[string]string{"slappart0.crt": "CERT", "slappart1.crt": "NEW"} {
		if got := testkit.ReadFile(t, filepath.Join(n.options.CertificateRepository, name)); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	n.Touch("slappart0")
	n.Master.Set(func() { n.Master.Status["getComputerPartitionCertificate"] = http.StatusNotFound })
	n.process(1)
	if n.Log.Index("Partition slappart0 is not known by SlapOS Master.") < 0 {
		t.Errorf("log\n%s", n.Log)
	}
}

// GRID-12.
func TestPassRequests(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	const name = ".slapos-request-transaction-slappart0"
	testkit.WriteFile(t, n.At("slappart0", name), "of an interrupted pass\n")
	n.DeployWith(`printf 'a\n\nb\n' >> ` + name + `; echo $SLAPGRID_INSTANCE_ROOT > root`)
	n.process(0)
	calls := n.Master.Expect(t, "getFullComputerInformation", "startedComputerPartition slappart0", "updateComputerPartitionRelatedInstanceList slappart0")
	sent, err := slap.Unmarshal([]byte(calls[2].Form.Get("instance_reference_xml")))
	if err != nil || fmt.Sprint(sent) != "[a b]" {
		t.Errorf("sent %v, %v", sent, err)
	}
	if got := testkit.ReadFile(t, n.At("slappart0", "root")); got != n.Pass.InstanceRoot+"\n" {
		t.Errorf("SLAPGRID_INSTANCE_ROOT=%q", got)
	}
	// SLAP-49: the original's library does the same inside a partition.
	n.DeployWith(testkit.Python(t) + ` -c '
from slapos.slap.slap import ComputerPartition
try: ComputerPartition("COMP-1", "slappart0").request("http://x", "default", "child")
except AttributeError: pass # no connection'`)
	n.Touch("slappart0")
	n.Master.Take()
	n.process(0)
	calls = n.Master.Expect(t, "getFullComputerInformation", "startedComputerPartition slappart0", "updateComputerPartitionRelatedInstanceList slappart0")
	if sent, err := slap.Unmarshal([]byte(calls[2].Form.Get("instance_reference_xml"))); err != nil || fmt.Sprint(sent) != "[child]" {
		t.Errorf("of the original: sent %v, %v", sent, err)
	}
	// An old master doesn't know the call.
	n.Touch("slappart0")
	n.Master.Set(func() { n.Master.Status["updateComputerPartitionRelatedInstanceList"] = http.StatusNotFound })
	n.process(0)
}

func TestPassPartitionOfRoot(t *testing.T) {
	testkit.Root(t) // whom GRID-13 is for
	n := newInstanceNode(t, "slappart0")
	if err := os.Chown(n.At("slappart0"), 0, 0); err != nil {
		t.Fatal(err)
	}
	n.process(1)
	if testkit.Exists(n.At("slappart0", "log")) || !strings.Contains(n.Log.String(), "too dangerous") {
		t.Errorf("log\n%s", n.Log)
	}
}
