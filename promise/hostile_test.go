// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// Nothing that a promise starts makes the run wait or grow. PROM-44, PROM-45.
func TestHostilePromises(t *testing.T) {
	t.Parallel()
	p := newPartition(t)
	p.options.Timeout = 2 * time.Minute // less than the started processes live
	background := p.path("pid")
	p.executable("background", "sleep 300 & echo $! > "+background+"; echo done")
	p.executable("flood", "head -c 4000000 /dev/zero | tr '\\0' 'x'; echo end; exit 1")
	p.executable("binary", "head -c 100000 /dev/urandom; exit 1")
	p.plugin("plugin_background.py", "def sense(self):\n    import subprocess\n    p = subprocess.Popen(['sleep', '300'])\n"+
		"    open('pid2', 'w').write(str(p.pid))\n    self.logger.info('done')")
	p.plugin("plugin_flood.py", "def sense(self):\n    sys.stdout.write('flood of words\\n' * 150000)\n    self.logger.info('done')")
	p.plugin("plugin_binary.py", "def sense(self):\n    import os\n    os.write(1, os.urandom(100000))\n    self.logger.info('done')")
	p.plugin("plugin_threads.py", "def sense(self):\n    import threading, time\n    threading.Thread(target=time.sleep, args=(.3,)).start()\n    self.logger.info('done')")
	p.plugin("plugin_closes.py", "def sense(self):\n    import os\n    os.closerange(0, 200)")
	p.plugin("plugin_kills.py", "def sense(self):\n    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)")
	report := p.mustRun(Forced)
	for _, name := range []string{"pid", "pid2"} {
		pid, err := strconv.Atoi(strings.TrimSpace(p.read(name)))
		if err != nil || unix.Kill(pid, 0) == nil {
			t.Errorf("%s: a background process lives on", name)
		}
	}
	for _, result := range report.Promises {
		isBad := slices.Contains([]string{"flood", "binary", "plugin_closes.py", "plugin_kills.py"}, result.Name)
		if result.Failed != isBad {
			t.Errorf("%s: failed %v: %.200s", result.Name, result.Failed, result.Message)
		}
		if len(result.Message) > 4*(messageLimit+3) {
			t.Errorf("%s: a message of %d bytes", result.Name, len(result.Message))
		}
		if strings.Contains(result.Message, "timed out") {
			t.Errorf("%s: what it has started is waited for: %s", result.Name, result.Message)
		}
	}
	if message := report.Promises[slices.IndexFunc(report.Promises, func(r Result) bool { return r.Name == "flood" })].Message; !strings.HasSuffix(message, "xend") || len(message) != messageLimit+3 {
		t.Errorf("flood says %d bytes: …%s", len(message), message[max(0, len(message)-20):])
	}
	if info, err := os.Stat(p.path(logFolder + "/flood.log")); err != nil || info.Size() > maxOutput+100 {
		t.Errorf("log of %d bytes, %v", info.Size(), err)
	}
	if p.log.Len() > 3*maxDriverLog {
		t.Errorf("%d bytes in the agent's log", p.log.Len())
	}
	if text := p.read(resultFolder + "/binary.status.json"); !json.Valid([]byte(text)) {
		t.Errorf("result %.200s", text)
	}
}

// The state files belong to the user: links, pipes and nonsense there must
// neither block nor mislead anybody.
func TestHostileFiles(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(outside, []byte("untouched"), 0o644); err != nil {
		t.Fatal(err)
	}
	traps := map[string]func(path string) error{
		"pipe":      func(path string) error { return unix.Mkfifo(path, 0o666) },
		"link":      func(path string) error { return os.Symlink(outside, path) },
		"loop":      func(path string) error { return os.Symlink(path, path) },
		"device":    func(path string) error { return os.Symlink("/dev/zero", path) },
		"directory": func(path string) error { return os.MkdirAll(path+"/x", 0o755) },
		"nonsense":  func(path string) error { return os.WriteFile(path, []byte("{\"result\": 3}\xff"), 0o644) },
		"numbers":   func(path string) error { return os.WriteFile(path, []byte("3"), 0o644) },
		"empty":     func(path string) error { return os.WriteFile(path, nil, 0o644) },
		"huge": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, 1<<40))
		},
	}
	for name, trap := range traps {
		for _, isPlugin := range []bool{false, true} {
			t.Run(fmt.Sprint(name, isPlugin), func(t *testing.T) {
				t.Parallel()
				p := newPartition(t)
				p.options.Timeout = 3 * time.Second
				if isPlugin {
					p.plugin("check.py", "def sense(self):\n    self.logger.error('bad')")
				} else {
					p.executable("check", "echo bad; exit 1")
				}
				p.mustRun(Forced)
				files := []string{cacheFolder + "/check", resultFolder + "/check.status.json", resultFolder + "/check.status.json.tmp",
					cacheFolder + "/check.tmp", stateFolder + "/global.json"}
				if !isPlugin {
					files = append(files, logFolder+"/check.log")
				}
				for _, file := range files {
					os.Remove(p.path(file))
					if err := trap(p.path(file)); err != nil {
						t.Fatal(err)
					}
				}
				p.give()
				for _, mode := range []Mode{Anomaly, Forced} {
					report := p.mustRun(mode)
					if report.Checked != 1 || mode == Forced && (report.Failed != 1 || report.Promises[0].Message != "bad") && name != "directory" {
						t.Errorf("mode %v: %+v\n%s", mode, report, p.log.String())
					}
				}
				if name != "directory" {
					text := p.read(resultFolder + "/check.status.json")
					if !strings.Contains(text, `"message": "bad"`) {
						t.Errorf("result %s", text)
					}
				}
			})
		}
	}
	t.Cleanup(func() {
		if text, _ := os.ReadFile(outside); string(text) != "untouched" {
			t.Errorf("a file outside has become %q", text)
		}
	})
}

// If the agent is root, all files belong to the user, and none is accessed with
// root's rights.
func TestFilesAsUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		runAsRootOfNamespace(t)
		return
	}
	p := newPartition(t)
	p.plugin("check.py", "def sense(self):\n    self.logger.error('bad')")
	p.executable("legacy", "exit 1")
	// What former agents made as root is given away.
	for _, folder := range []string{".slapgrid", stateFolder, resultFolder, logFolder} {
		if err := os.Mkdir(p.path(folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.mustRun(Forced)
	for name := range p.state() {
		var status unix.Stat_t
		if err := unix.Lstat(p.path(name), &status); err != nil || status.Uid != 1 || status.Gid != 1 {
			t.Errorf("%s belongs to %d:%d, %v", name, status.Uid, status.Gid, err)
		}
	}

	secret := p.path("secret") // owned by root, in the partition
	stored := `{"title": "legacy", "name": "legacy", "path": "x", "execution-time": 1, "result": {"type": "Test Result", "failed": true, "date": "2026-11-21T01:42:57+0000", "message": "secret"}}`
	if err := os.WriteFile(secret, []byte(stored), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{resultFolder + "/legacy.status.json", logFolder + "/legacy.log"} {
		os.Remove(p.path(file))
		if err := os.Symlink("../../../secret", p.path(file)); err != nil {
			t.Fatal(err)
		}
	}
	if report := p.mustRun(Anomaly); strings.Contains(fmt.Sprint(report), "secret") {
		t.Errorf("a file of root's was read: %+v", report)
	}
	p.mustRun(Forced)
	if text := p.read("secret"); text != stored {
		t.Errorf("a file of root's was written: %s", text)
	}
	if groups := must(os.Getgroups()); slices.Contains(groups, 1) || unix.Geteuid() != 0 {
		t.Errorf("the agent has become someone else: %v", groups)
	}
}

// runAsRootOfNamespace runs one test as root of a user namespace in which the
// partition's user exists, so that a plain user can run it.
func runAsRootOfNamespace(t *testing.T) {
	t.Helper()
	testkit.SeveralUsers(t)
	testkit.RunAgain(t, exec.Command("unshare", "--user", "--mount", "--map-root-user", "--map-auto", must(os.Executable())))
}
