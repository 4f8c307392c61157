// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// TestUser starts services as another user, who is in several groups. The
// services must have those groups, and none of ours.
func TestUser(t *testing.T) {
	t.Parallel()
	if os.Getenv("IN_NAMESPACE") == "" {
		inNamespace(t)
		return
	}
	must(t, unix.Setgroups([]int{0, 4, 5}))
	s := newSupervisor(t, `
[program:plain]
command=sh -c 'id -u; id -g; id -G; exec sleep 1000'
user=daemon
stdout_logfile=%(here)s/plain.log
[program:grouped]
command=sh -c 'id -u; id -g; id -G; exec sleep 1000'
user=1
group=2
stdout_logfile=%(here)s/grouped.log
[program:nobody]
command=sleep 1000
user=54321
startretries=0
`)
	must(t, os.Chmod(s.directory, 0o755))
	s.start()
	for name, want := range map[string]string{"plain": "1\n1\n1 2 3\n", "grouped": "1\n2\n2 1 3\n"} {
		s.until(name+" has looked", func() bool { return strings.Count(s.read(name+".log"), "\n") == 3 })
		if got := s.read(name + ".log"); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if info := s.untilState("nobody", "FATAL"); info.Pid != 0 {
		t.Errorf("nobody is %+v", info)
	}
}

// TestOwnUser has the supervisor itself become another user, with its groups.
func TestOwnUser(t *testing.T) {
	t.Parallel()
	if os.Getenv("IN_NAMESPACE") == "" {
		inNamespace(t)
		return
	}
	s := newSupervisor(t, `
[program:plain]
command=sh -c 'id -u; id -g; id -G; exec sleep 1000'
stdout_logfile=%(here)s/plain.log
`)
	configuration := s.read("supervisord.conf")
	s.write("supervisord.conf", strings.Replace(configuration, "[supervisord]\n", "[supervisord]\nuser=daemon\n", 1))
	must(t, os.Chown(s.directory, 1, 1))
	s.start()
	s.until("plain has looked", func() bool { return strings.Count(s.read("plain.log"), "\n") == 3 })
	if got := s.read("plain.log"); got != "1\n1\n1 2 3\n" {
		t.Errorf("plain is %q", got)
	}
}

// inNamespace runs the current test again as root, with users and groups of its
// own.
func inNamespace(t *testing.T) {
	t.Helper()
	directory := t.TempDir()
	for name, text := range map[string]string{
		"passwd": "root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/sh\n",
		"group":  "root:x:0:\ndaemon:x:1:\nbin:x:2:daemon\nsys:x:3:root,daemon\nadm:x:4:root\n",
	} {
		must(t, os.WriteFile(filepath.Join(directory, name), []byte(text), 0o644))
	}
	testkit.SeveralUsers(t)
	testkit.Namespaces(t)
	testkit.Program(t, "unshare", "util-linux")
	words := []string{"--mount"}
	if !isRoot() {
		words = append(words, "--map-root-user", "--map-auto")
	}
	script := `mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group && directory=$1; shift; exec "$@"`
	words = append(words, "sh", "-c", script, "sh", directory, testExecutable())
	command := exec.Command("unshare", words...)
	command.Env = append(os.Environ(), "IN_NAMESPACE=1")
	testkit.RunAgain(t, command)
}
