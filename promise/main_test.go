// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"slapos/slap/testkit"
)

// Python of the test environment, with slapos.core, and the bare one below it.
var testPython, barePython, sitePackages string

// TestMain finds Python. As root, promises run as another user, who may be
// unable to reach a Python below root's home: then the tests run in a mount
// namespace that makes it reachable.
func TestMain(m *testing.M) {
	if err := findPython(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if blocked := blockedFor(barePython, testPython); blocked != "" && os.Geteuid() == 0 && os.Getenv("PROMISE_TEST_OPENED") == "" {
		if !testkit.HasNamespaces() {
			flag.Parse()
			must(0, flag.Set("test.run", "^TestWayToPython$")) // it says what is needed
			os.Exit(m.Run())
		}
		os.Exit(reopen(blocked))
	}
	testkit.Main(m)
}

// The partition's user must reach Python, or no test here can run.
func TestWayToPython(t *testing.T) {
	if blocked := blockedFor(barePython, testPython); blocked != "" && os.Geteuid() == 0 {
		testkit.Namespaces(t)
		t.Errorf("others can't pass %s", blocked)
	}
}

func findPython() error {
	environment, err := testkit.Find()
	if err != nil {
		return err
	}
	testPython = environment + "/bin/python"
	out, err := exec.Command(testPython, "-c", `import os, sys, slapos.grid.promise as p
print(os.path.join(sys.base_prefix, "bin", "python%d.%d" % sys.version_info[:2]))
print(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(p.__file__)))))`).Output()
	lines := strings.Split(string(out), "\n")
	if err != nil || len(lines) < 2 {
		return fmt.Errorf("run `make testenv` first: %s: %v", testPython, err)
	}
	barePython, sitePackages = lines[0], lines[1]
	return nil
}

// blockedFor returns the topmost directory on the way to a file that others
// can't enter.
func blockedFor(files ...string) string {
	for _, file := range files {
		for end := 1; end < len(file); end++ {
			if file[end] != '/' {
				continue
			}
			if info, err := os.Stat(file[:end]); err == nil && info.Mode()&1 == 0 {
				return file[:end]
			}
		}
	}
	return ""
}

func reopen(blocked string) int {
	script := `set -e
top=$1; shift
stage=$(mktemp -d)
count=0
for folder in $FOLDERS; do
	count=$((count + 1))
	mkdir $stage/$count
	mount --bind "$folder" $stage/$count
done
mount -t tmpfs -o mode=755 none "$top"
count=0
for folder in $FOLDERS; do
	count=$((count + 1))
	mkdir -p "$folder" 2>/dev/null || :
	mount --bind $stage/$count "$folder"
	umount $stage/$count
done
rm -r $stage
exec "$@"`
	folders := []string{filepath.Dir(filepath.Dir(barePython)), filepath.Dir(filepath.Dir(testPython))}
	links, _ := filepath.Glob(os.Getenv("PROMISE_TEST_ENV") + "/python/*/python")
	for _, link := range links {
		folders = append(folders, filepath.Dir(filepath.Dir(must(filepath.EvalSymlinks(link)))))
	}
	slices.Sort(folders)
	arguments := append([]string{"--mount", "--propagation", "private", "sh", "-c", script, "sh", blocked, must(os.Executable())}, os.Args[1:]...)
	command := exec.Command("unshare", arguments...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), "PROMISE_TEST_OPENED=1", "FOLDERS="+strings.Join(slices.Compact(folders), " "))
	if err := command.Run(); err != nil {
		if status, ok := err.(*exec.ExitError); ok && status.Sys().(syscall.WaitStatus).Exited() {
			return status.ExitCode()
		}
		fmt.Fprintln(os.Stderr, "the partition's user needs a way to Python:", err)
		return 1
	}
	return 0
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
