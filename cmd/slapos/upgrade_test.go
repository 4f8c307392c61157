// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// TestUpgradeBetweenBuilds replaces the program on the disk and then in the
// running supervisor, up and down again, with commands that people type
// (GRID-109). Services keep their processes.
func TestUpgradeBetweenBuilds(t *testing.T) {
	t.Parallel()
	root, err := os.MkdirTemp("", "up") // short: a socket's path is limited
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(root, "bin/slapos")
	configuration := testkit.WriteFile(t, filepath.Join(root, "slapos.cfg"), "[slapos]\ninstance_root = "+root+"/instance\n"+
		"software_root = "+root+"/software\nmaster_url = http://127.0.0.1:1/\ncomputer_id = COMP-1\nroot_check = false\n"+
		"forbid_supervisord_automatic_launch = true\n")
	for _, name := range []string{"bin", "instance", "software", "builds"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	install := func(version string) {
		build := filepath.Join(root, "builds", version)
		if !testkit.Exists(build) {
			command := exec.Command("go", "build", "-buildvcs=false", "-tags", "urfave_cli_no_docs", "-trimpath", "-ldflags", "-s -w -X main.version="+version, "-o", build, ".")
			command.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := command.CombinedOutput(); err != nil {
				t.Fatalf("build: %v: %s", err, out)
			}
		}
		// Not by us: a child started meanwhile would hold it open, and it couldn't be run.
		if out, err := exec.Command("cp", build, program+".new").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := os.Rename(program+".new", program); err != nil {
			t.Fatal(err)
		}
	}
	slapos := func(words ...string) (text string) {
		t.Helper()
		command := exec.Command(program, append([]string{"node"}, words...)...)
		var out bytes.Buffer
		command.Env = append(os.Environ(), "SLAPOS_CONFIGURATION="+configuration)
		command.Stdout, command.Stderr = &out, &out
		if err := command.Run(); err != nil {
			t.Errorf("slapos node %s: %v: %s", strings.Join(words, " "), err, &out)
		}
		return strings.TrimSpace(out.String())
	}
	install("1.26.1+1")
	if said := slapos("supervisord", "--upgrade"); !strings.Contains(said, "No supervisor is running") {
		t.Errorf("without a supervisor: %s", said)
	}
	slapos("supervisord")
	t.Cleanup(func() {
		pid := slapos("supervisorctl", "pid")
		slapos("supervisorctl", "shutdown")
		testkit.Eventually(t, testkit.Patience, "the supervisor ends", func() bool { return !testkit.Exists("/proc/" + pid) })
		os.RemoveAll(root)
	})
	testkit.WriteFile(t, root+"/instance/etc/supervisord.conf.d/web.conf", "[program:web]\n"+
		"command=sh -c 'i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done'\nstartsecs=0\nstdout_logfile="+root+"/web.log\n")
	slapos("supervisorctl", "update")
	supervisor, web := slapos("supervisorctl", "pid"), slapos("supervisorctl", "pid", "web")
	install("1.26.1+2")
	if said, want := slapos("supervisord", "--upgrade"), program+", version 1.26.1+2 (was 1.26.1+1)."; !strings.Contains(said, want) {
		t.Errorf("--upgrade says %s, want %s", said, want)
	}
	install("1.26.1+1")
	if said, want := slapos("supervisorctl", "upgrade"), program+", version 1.26.1+1 (was 1.26.1+2)."; !strings.Contains(said, want) {
		t.Errorf("upgrade says %s, want %s", said, want)
	}
	if now := slapos("supervisorctl", "pid"); now != supervisor {
		t.Errorf("the supervisor was process %s, is %s", supervisor, now)
	}
	if now := slapos("supervisorctl", "pid", "web"); now != web {
		t.Errorf("the service was process %s, is %s", web, now)
	}
	if comm := testkit.ReadFile(t, "/proc/"+supervisor+"/comm"); comm != "supervisord\n" {
		t.Errorf("the process is called %q", comm)
	}
	slapos("stop", "web")
	lines := strings.Split(testkit.ReadFile(t, root+"/web.log"), "\n")
	for i, line := range lines[:len(lines)-1] {
		if want := "line " + strconv.Itoa(i+1); line != want {
			t.Fatalf("line %d of the log is %q", i+1, line)
		}
	}
}
