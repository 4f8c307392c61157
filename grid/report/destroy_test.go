// SPDX-License-Identifier: GPL-3.0-or-later

package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/grid/firewall"
	"slapos/grid/partition"
	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

// destroyOne destroys a test's only partition.
func (r *reportTest) destroyOne() error {
	r.t.Helper()
	return r.open().partitions[0].destroy(context.Background()).Err()
}

func TestDestroy(t *testing.T) {
	r := newReportTest(t)
	base := filepath.Dir(r.root)
	directory := r.partition(0, slap.StateDestroyed, map[string]string{
		"sbin/destroy":    "#!/bin/sh\necho \"$PWD $(id -u) $#\" >seen; test -e etc/run/service && echo destroying\n",
		"etc/run/service": "", ".slapos-resource": "{}", ".slapgrid/log/instance.log": "", ".hidden/x": "", partition.RetentionDelayFile: "0.0",
	})
	before, _ := os.Stat(directory)
	outside := testkit.WriteFile(t, filepath.Join(base, "outside", "file"), "")
	os.Symlink(filepath.Dir(outside), filepath.Join(directory, "software_release"))
	r.options.CertificateRepository = filepath.Join(base, "certificates")
	key := testkit.WriteFile(t, filepath.Join(r.options.CertificateRepository, "slappart0.key"), "")
	other := testkit.WriteFile(t, filepath.Join(r.options.CertificateRepository, "slappart1.key"), "")
	r.options.StorageHome = filepath.Join(base, "disks")
	data := testkit.WriteFile(t, filepath.Join(base, "disks", "disk1", "slappart0", "deep", "file"), "")
	neighbours := testkit.WriteFile(t, filepath.Join(base, "disks", "disk1", "slappart1", "file"), "")
	os.Symlink(filepath.Dir(outside), filepath.Join(base, "disks", "disk2"))
	os.Symlink(filepath.Join(base, "outside"), filepath.Join(base, "outside", "slappart0"))
	r.handOver(filepath.Dir(filepath.Dir(data)))

	if err := r.destroyOne(); err != nil {
		t.Fatal(err)
	}
	testenv.Emptied(t, directory, before)
	for _, path := range []string{key, filepath.Dir(data)} {
		testkit.MustNotExist(t, path)
	}
	for _, path := range []string{other, neighbours, outside, filepath.Dir(filepath.Dir(data))} {
		testkit.MustExist(t, path)
	}
	if text := r.log.String(); !strings.Contains(text, "msg=destroying") || !strings.Contains(text, "Destroying Computer Partition slappart0...") {
		t.Errorf("log: %s", text)
	}
	if err := r.destroyOne(); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestDestroyScriptFails(t *testing.T) {
	for name, script := range map[string]string{
		"exit code": "#!/bin/sh\nexit 3\n", "not a program": "nothing", "killed": "#!/bin/sh\nkill -9 $$\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newReportTest(t)
			directory := r.partition(0, slap.StateDestroyed, map[string]string{destroyScript: script, "file": ""})
			if err := r.destroyOne(); err == nil || !strings.Contains(err.Error(), "Failed to destroy Computer Partition in '"+directory+"'") {
				t.Errorf("error is %v", err)
			}
			testkit.MustExist(t, filepath.Join(directory, "file"))
			testkit.MustExist(t, filepath.Join(directory, destroyScript))
		})
	}
}

func TestDestroyRetained(t *testing.T) {
	r := newReportTest(t)
	directory := r.partition(0, slap.StateDestroyed, map[string]string{partition.RetentionDelayFile: "2.0", destroyScript: "#!/bin/sh\ntouch ran\n"})
	before, _ := os.Stat(directory)
	now := time.Now()
	r.options.Node.Now = func() time.Time { return now }
	for range 2 {
		if err := r.destroyOne(); !errors.Is(err, errRetained) {
			t.Errorf("error is %v", err)
		}
		now = now.Add(24*time.Hour - time.Second)
	}
	testkit.MustNotExist(t, filepath.Join(directory, "ran"))
	now = now.Add(2 * time.Second)
	if err := r.destroyOne(); err != nil {
		t.Fatal(err)
	}
	testenv.Emptied(t, directory, before)
}

// TestDestroyHostile has a user who resists destruction.
func TestDestroyHostile(t *testing.T) {
	for name, build := range map[string]func(t *testing.T, directory, outside string){
		"links everywhere": func(t *testing.T, directory, outside string) {
			for _, path := range []string{"etc", "sbin", "var", "DATA", "software_release", ".slapgrid", firewall.RulesFile} {
				os.Symlink(outside, filepath.Join(directory, path))
			}
		},
		"pipes everywhere": func(t *testing.T, directory, _ string) {
			for _, path := range []string{"etc", "sbin", "var", "DATA", "software_release", ".slapgrid"} {
				if err := unix.Mkfifo(filepath.Join(directory, path), 0o666); err != nil {
					t.Fatal(err)
				}
			}
		},
		"no access": func(t *testing.T, directory, _ string) {
			testkit.WriteFile(t, filepath.Join(directory, "a", "b", "c"), "")
			os.Chmod(filepath.Join(directory, "a", "b"), 0)
			os.Chmod(filepath.Join(directory, "a"), 0)
		},
		"very deep": func(t *testing.T, directory, _ string) { testkit.MakeDeep(t, filepath.Join(directory, "deep"), 3000) },
		"the lock's delay is a link": func(t *testing.T, directory, _ string) {
			os.Symlink("nowhere", filepath.Join(directory, partition.RetentionDelayFile))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReportTest(t)
			directory := r.partition(0, slap.StateDestroyed, nil)
			before, _ := os.Stat(directory)
			outside := filepath.Join(filepath.Dir(r.root), "outside")
			kept := testkit.WriteFile(t, filepath.Join(outside, "file"), "")
			build(t, directory, outside)
			if err := r.destroyOne(); err != nil {
				t.Error(err)
			}
			testenv.Emptied(t, directory, before)
			testkit.MustExist(t, kept)
		})
	}
}

// TestDestroyKilled kills the agent at random moments of a destruction, again
// and again: the next one continues, and in the end the directory is empty,
// with its owner and mode.
func TestDestroyKilled(t *testing.T) {
	const marker = "SLAPOS_TEST_DESTROY"
	r := newReportTest(t)
	if root := os.Getenv(marker); root != "" { // the agent that is killed
		r.root, r.options.Node.InstanceRoot = root, root
		r.options.CertificateRepository = filepath.Join(filepath.Dir(root), "certificates")
		r.options.StorageHome = filepath.Join(filepath.Dir(root), "disks")
		r.options.Supervisor.LaunchForbidden = true
		r.Answers["getComputerPartitionCertificate"] = slap.Dict{"certificate": "C", "key": "K"}
		r.list(0, slap.StateDestroyed)
		if result, err := Pass(context.Background(), r.options); err != nil || result.ExitCode() != 0 {
			t.Fatal(result, err)
		}
		return
	}
	base, temporary := filepath.Dir(r.root), testenv.Directory(t) // for what killed agents leave
	kept := testkit.WriteFile(t, filepath.Join(base, "outside", "file"), "")
	r.supervise()
	kills := 0
	for round := range 2 {
		files := map[string]string{
			// It fails once the instance is incomplete.
			destroyScript:                "#!/bin/sh\ntest -e last/file\n",
			partition.RetentionDelayFile: "1.0", partition.RetentionDateFile: "1.0", "last/file": "",
			"etc/run/service": sleeper,
		}
		for i := range 700 {
			files[fmt.Sprintf("tree/%d/%d/file%d", i%7, i%40, i)] = ""
		}
		os.RemoveAll(filepath.Join(r.root, "slappart0"))
		directory := r.partition(0, slap.StateDestroyed, files)
		before, _ := os.Stat(directory)
		r.runService(0)
		os.Symlink(filepath.Dir(kept), filepath.Join(directory, "tree", "link"))
		testkit.WriteFile(t, filepath.Join(base, "certificates", "slappart0.key"), "")
		data := testkit.WriteFile(t, filepath.Join(base, "disks", "disk", "slappart0", "file"), "")
		for patience := 50 * time.Millisecond; ; patience += patience / 6 {
			command := exec.Command("/proc/self/exe", "-test.run=^TestDestroyKilled$")
			command.Env = append(os.Environ(), marker+"="+r.root, "TMPDIR="+temporary)
			var output bytes.Buffer
			command.Stdout, command.Stderr = &output, &output
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			limit := patience/2 + rand.N(patience)
			timer := time.AfterFunc(limit, func() { command.Process.Kill() })
			err := command.Wait()
			if timer.Stop() && err != nil {
				t.Fatalf("round %d: the destruction failed: %v\n%s", round, err, &output)
			}
			if err == nil {
				break
			}
			kills++
		}
		testenv.Emptied(t, directory, before)
		if running := r.running(); len(running) > 0 {
			t.Errorf("still running: %v", running)
		}
		testkit.MustNotExist(t, data)
		testkit.MustNotExist(t, filepath.Join(base, "certificates", "slappart0.key"))
		testkit.MustExist(t, kept)
	}
	t.Logf("killed %d times", kills)
}

// A link to what only root can reach is no script: it tells nothing of that, and holds
// up no destruction (GRID-84, MGR-44).
func TestDestroyScriptIsLookedUpAsUser(t *testing.T) {
	testkit.Root(t)
	r := newReportTest(t)
	directory := r.partition(0, slap.StateDestroyed, map[string]string{"sbin/other": "", "file": ""})
	hidden := filepath.Join(t.TempDir(), "hidden")
	testkit.WriteFile(t, filepath.Join(hidden, "script"), "#!/bin/sh\n")
	link := filepath.Join(directory, destroyScript)
	if err := errors.Join(os.Chmod(hidden, 0o700), os.Symlink(filepath.Join(hidden, "script"), link)); err != nil {
		t.Fatal(err)
	}
	testkit.HandOver(t, link)
	if err := r.destroyOne(); err != nil {
		t.Error(err)
	}
	testkit.MustNotExist(t, filepath.Join(directory, "file"))
}
