// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"bytes"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

// tests stands in for the tests of a run.
type tests func() int

func (run tests) Run() int { return run() }

func TestTidy(t *testing.T) {
	t.Setenv(tidyVariable, "")
	former := os.Getenv("TMPDIR")
	for name, test := range map[string]struct {
		leave func() error
		code  int
		want  string
	}{
		"nothing": {func() error { return nil }, 0, ""},
		"failed":  {func() error { return nil }, 3, ""},
		"file":    {func() error { return os.WriteFile(filepath.Join(os.TempDir(), "forgotten"), nil, 0o600) }, 0, "FAIL: the tests left forgotten in the temporary directory\n"},
		"process": {func() error { return exec.Command("sleep", "300").Start() }, 0, "FAIL: the tests left a process running: sleep 300\n"},
		"process without environment": {func() error {
			command := exec.Command("sleep", "301")
			command.Env, command.Dir = []string{}, os.TempDir()
			return command.Start()
		}, 0, "FAIL: the tests left a process running: sleep 301\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var output bytes.Buffer
			directory := ""
			code := tidy{tests(func() int {
				directory = os.TempDir()
				if err := test.leave(); err != nil {
					t.Error(err)
				}
				return test.code
			}), &output, 100 * time.Millisecond}.Run()
			if output.String() != test.want || code != max(test.code, strings.Count(test.want, "\n")) {
				t.Errorf("code %d, said %q", code, &output)
			}
			if directory == former || exists(directory) || os.Getenv("TMPDIR") != former {
				t.Errorf("the directory was %s, is %s", directory, os.Getenv("TMPDIR"))
			}
		})
	}
}

// TestInterrupts: what tests start ends by SIGINT, whoever started the run.
func TestInterrupts(t *testing.T) {
	t.Setenv(tidyVariable, "")
	signal.Ignore(os.Interrupt)
	t.Cleanup(func() { signal.Reset(os.Interrupt) })
	var output bytes.Buffer
	tidy{tests(func() int {
		child := exec.Command("sleep", "302")
		if err := child.Start(); err != nil {
			t.Error(err)
			return 1
		}
		_ = child.Process.Signal(os.Interrupt)
		hurry := time.AfterFunc(Patience, func() { _ = child.Process.Kill() })
		defer hurry.Stop()
		if err := child.Wait(); err == nil || err.Error() != "signal: interrupt" {
			t.Errorf("a child that is interrupted ends with %v", err)
		}
		return 0
	}), &output, 100 * time.Millisecond}.Run()
	if output.Len() > 0 {
		t.Error(&output)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
