// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// GRID-16, GRID-72.
func TestWriteConfiguration(t *testing.T) {
	t.Parallel()
	l, _ := newLayout(t)
	for path, want := range map[string]os.FileMode{
		"var": 0o755, "var/log": 0o700, "var/run": 0o700, "etc": 0o700, "etc/supervisord.conf.d": 0o700, "etc/supervisord.conf": 0o600,
	} {
		info, err := os.Stat(filepath.Join(l.InstanceRoot, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	before, err := os.Stat(l.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteConfiguration(l, ""); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(l.ConfigFile())
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the unchanged file was replaced: %v", err)
	}
	if err := WriteConfiguration(l, "watch --url 'http://x/%20'"); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(l.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"files = " + l.InstanceRoot + "/etc/supervisord.conf.d/*.conf",
		"serverurl = unix://" + l.InstanceRoot + "/sv.sock",
		"command=watch --url 'http://x/%%20'",
	} {
		if !strings.Contains(string(data), "\n"+line+"\n") {
			t.Errorf("no line %q in\n%s", line, data)
		}
	}
	if strings.Contains(string(data), "minfds") { // as many files as the machine allows
		t.Errorf("minfds is set in\n%s", data)
	}
	if err := WriteConfiguration(l, "a\nb"); err == nil {
		t.Error("a line break was written")
	}
	if err := WriteConfiguration(Layout{InstanceRoot: l.path("missing")}, ""); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("missing root: %v", err)
	}
}

// CLI-78.
func TestSocket(t *testing.T) {
	t.Parallel()
	l, _ := newLayout(t)
	if got := l.Socket(); got != l.path("sv.sock") {
		t.Error(got)
	}
	if err := os.WriteFile(l.path("supervisord.socket"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := l.Socket(); got != l.path("supervisord.socket") {
		t.Error(got)
	}
}

// GRID-72, CLI-80.
func TestWatchdogCommand(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	w := Watchdog{Executable: filepath.Join(directory, "slapos"), MasterURL: "http://m", ComputerID: "C", InstanceRoot: "/srv/i"}
	program := installedWatchdog
	if !exists(installedWatchdog) {
		program = w.Executable + " watchdog"
	}
	if got, want := w.Command(), program+" --master-url 'http://m'  --computer-id 'C' --instance-root '/srv/i'"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if exists(installedWatchdog) {
		testkit.StepAside(t, "a machine that is no node", "there is %s", installedWatchdog)
	}
	link := filepath.Join(directory, "slapos-watchdog")
	if err := os.WriteFile(w.Executable, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("slapos", link); err != nil {
		t.Fatal(err)
	}
	w.CertificateRepository = "/srv/it's"
	if got, want := w.Command(), link+" --master-url 'http://m'  --certificate-repository-path '/srv/it'\"'\"'s' --computer-id 'C' --instance-root '/srv/i'"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
