// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"slapos/cmd/slapos/cloud"
	"slapos/slap/testkit"
)

func testProgram(t *testing.T) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// A cloudTest has a program slapos with its other names, and a release.
type cloudTest struct {
	t                *testing.T
	folder, root     string
	program, release string
	environ          []string
}

func newCloudTest(t *testing.T) *cloudTest {
	folder, err := os.MkdirTemp("", "cloud") // short, for the sake of sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	c := &cloudTest{t: t, folder: folder, root: filepath.Join(folder, "root"), program: filepath.Join(folder, "bin", "slapos"), release: filepath.Join(folder, "software.cfg")}
	for _, name := range []string{"bin", "home", "root"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := copyFile(testProgram(t), c.program); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"supervisord", "supervisorctl"} {
		if err := os.Symlink("slapos", filepath.Join(folder, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(folder, "recipe"), os.DirFS("testdata/standalone/recipe")); err != nil {
		t.Fatal(err)
	}
	profile, err := os.ReadFile("testdata/standalone/software.cfg")
	if err != nil {
		t.Fatal(err)
	}
	profile = []byte(strings.ReplaceAll(string(profile), "RECIPE", folder+"/recipe"))
	if err := os.WriteFile(c.release, profile, 0o644); err != nil {
		t.Fatal(err)
	}
	// The recipe is built with the tools that are there: nothing is fetched for it.
	c.environ = []string{"HOME=" + folder + "/home", "SHELL=/bin/sh", "LANG=C.UTF-8", "PIP_NO_BUILD_ISOLATION=0",
		"PATH=" + folder + "/bin:" + filepath.Dir(testkit.Python(t)) + ":/usr/bin:/bin"}
	return c
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// run runs a command that must end with an exit code, and returns its output.
func (c *cloudTest) run(code int, words ...string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 9*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, words[0], words[1:]...)
	command.Env, command.WaitDelay = c.environ, time.Second
	output, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || command.ProcessState.ExitCode() != code {
		c.t.Fatalf("%s: %v, want exit code %d\n%s%s", strings.Join(words, " "), err, code, output, c.logs())
	}
	return string(output)
}

func (c *cloudTest) standalone(code int, words ...string) string {
	c.t.Helper()
	return c.run(code, append([]string{c.program, "standalone", words[0], "--root", c.root}, words[1:]...)...)
}

// stop stops what runs, even after a failure.
func (c *cloudTest) stop() {
	command := exec.Command(c.program, "standalone", "stop", "--root", c.root)
	command.Env = c.environ
	_ = command.Run()
}

func (c *cloudTest) status() (status cloud.Status) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(c.standalone(0, "status", "--json")), &status); err != nil {
		c.t.Fatal(err)
	}
	return status
}

// logs are the ends of what the cloud's programs have logged.
func (c *cloudTest) logs() string {
	var text strings.Builder
	names, _ := filepath.Glob(c.root + "/var/log/*.log")
	for _, name := range names {
		log, _ := os.ReadFile(name)
		fmt.Fprintf(&text, "== %s\n%s\n", filepath.Base(name), log[max(0, len(log)-3000):])
	}
	return text.String()
}

// waitFor asks again until the answer is yes.
func (c *cloudTest) waitFor(what string, answer func() bool) {
	c.t.Helper()
	testkit.Eventually(c.t, 4*time.Minute, what, answer, func() any { return c.logs() })
}

// TestStandalone lives through a cloud: D-14.
func TestStandalone(t *testing.T) {
	t.Parallel()
	if testkit.AsOrdinaryUser(t) {
		return
	}
	c := newCloudTest(t)
	if out := c.standalone(3, "status"); out != "Nothing is running in "+c.root+".\n" {
		t.Errorf("status says %q", out)
	}
	c.standalone(1, "shell", "true")
	c.standalone(2, "start", "--partitions", "-1")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if out := c.standalone(1, "start", "--port", fmt.Sprint(port)); !strings.Contains(out, "choose another with --port") {
		t.Errorf("a port that is taken: %q", out)
	}
	listener.Close()
	t.Cleanup(c.stop)
	out := c.standalone(0, "start", "--port", fmt.Sprint(port), "--partitions", "2", "--python", testkit.Python(t))
	if want := fmt.Sprintf("master  http://127.0.0.1:%d, panel", port); !strings.Contains(out, want) {
		t.Errorf("start says %q, want %q", out, want)
	}
	if again := c.standalone(0, "start"); again != out {
		t.Errorf("a second start says %q", again)
	}
	if out := c.standalone(1, "start", "--partitions", "3"); !strings.Contains(out, "stop it before you change --partitions") {
		t.Errorf("other settings: %q", out)
	}

	// What is requested is deployed, without another word.
	c.standalone(0, "shell", "slapos", "supply", c.release, "local")
	c.standalone(0, "shell", "slapos", "request", "first", c.release, "--parameters", "name=cloud")
	c.waitFor("the instance publishes", func() bool {
		return strings.Contains(c.standalone(0, "shell", "sh", "-c", "slapos service info first"), `"hello": "cloud"`)
	})
	var service cloud.ProgramStatus
	isRunning := func() bool {
		status := c.status()
		if len(status.Instances) != 1 || len(status.Instances[0].Services) != 1 {
			return false
		}
		service = status.Instances[0].Services[0]
		return service.State == "RUNNING"
	}
	c.waitFor("the service runs", isRunning)
	status := c.status()
	if !status.Running || status.Free != 1 || status.Releases[0] != (cloud.ReleaseStatus{URL: c.release, State: "installed"}) || service.Name != "sleeper-on-watch" {
		t.Errorf("status %+v", status)
	}
	if text := c.standalone(0, "status"); !strings.Contains(text, "1 of 1 services run") || !strings.Contains(text, "1 partition is free.") {
		t.Errorf("status says\n%s", text)
	}
	pid := c.standalone(0, "shell", "slapos", "node", "supervisorctl", "pid", "slappart0:sleeper-on-watch")

	// It ends as a whole, and goes on where it was.
	c.standalone(0, "stop")
	c.standalone(0, "stop")
	c.waitFor("the service ends", func() bool {
		var number int
		_, err := fmt.Sscan(pid, &number)
		return err != nil || errors.Is(syscall.Kill(number, 0), syscall.ESRCH)
	})
	if out := c.standalone(1, "start", "--partitions", "0"); !strings.Contains(out, "first is in slappart0: destroy it first, or start with --partitions 1 or more") {
		t.Errorf("without room for the instance: %q", out)
	}
	if again := c.standalone(0, "start"); again != out {
		t.Errorf("started again, it says %q", again)
	}
	c.waitFor("the service runs again", isRunning)
	c.standalone(0, "shell", "slapos", "request", "first", c.release, "--state", "destroyed")
	c.waitFor("the instance is gone", func() bool { return c.status().Free == 2 })
}

// TestStandaloneLibrary has the library of slapos.core drive this program:
// CLI-100 to CLI-111.
func TestStandaloneLibrary(t *testing.T) {
	t.Parallel()
	if testkit.AsOrdinaryUser(t) {
		return
	}
	c := newCloudTest(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	out := c.run(0, testkit.Python(t), "testdata/standalone/library.py", c.root, c.program, fmt.Sprint(port), c.release)
	if !strings.HasSuffix(out, "the library is content\n") {
		t.Errorf("it says %s", out)
	}

	// What the library has left is taken over.
	t.Cleanup(c.stop)
	c.standalone(0, "start", "--python", testkit.Python(t))
	if status := c.status(); !status.Running || status.Master != fmt.Sprintf("http://127.0.0.1:%d", port) || status.Free != 1 {
		t.Errorf("status %+v", status)
	}
}

// TestStandaloneSettings reads back what a start has written, even with unusual
// names.
func TestStandaloneSettings(t *testing.T) {
	e := &environment{executable: "/opt/my programs/slapos", uid: os.Geteuid(), getenv: os.Getenv, log: slog.New(slog.DiscardHandler)}
	settings := cloud.Settings{Host: "127.0.0.1", Port: 5001, Partitions: 2, Python: "/usr/bin/python3"}
	root := filepath.Join(t.TempDir(), "half of a 'cloud'")
	var clouds [2]*cloud.Cloud
	for i := range clouds {
		var err error
		if clouds[i], err = cloud.New(cloud.Options{Root: root, Executable: e.executable, User: e.uid, Logger: e.log}); err != nil {
			t.Fatal(err)
		}
	}
	written, again := clouds[0], clouds[1]
	written.Settings = settings
	if err := written.WriteFiles(); err != nil {
		t.Fatal(err)
	}
	if err := e.readCloudSettings(again); err != nil || again.Settings != settings {
		t.Errorf("read %+v, %v", again.Settings, err)
	}
	testkit.WriteFile(t, written.ConfigurationFile(), "[slapproxy]\nhost = [::1]\nport = 5001\n")
	if err := e.readCloudSettings(again); err != nil || again.MasterURL() != "http://[::1]:5001" {
		t.Errorf("host in brackets: %s, %v", again.MasterURL(), err)
	}
}
