// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Main runs the tests of a package, as its TestMain, and ends the process. It
// fails if they leave something behind, see [Tidy].
func Main(m *testing.M) { os.Exit(Tidy(m).Run()) }

// tidyVariable names the temporary directory of a run to the test programs that
// its tests start: those leave it to their parent to look for leftovers.
const tidyVariable = "SLAPOS_TEST_TIDY"

// Tidy makes a run of tests with its own temporary directory. The run fails if
// one of its tests leaves a file there, or a process that has that directory in
// its arguments or its environment, or as its working directory.
func Tidy(m interface{ Run() int }) interface{ Run() int } {
	return tidy{tests: m, output: os.Stderr, grace: 20 * time.Second}
}

type tidy struct {
	tests  interface{ Run() int }
	output io.Writer
	grace  time.Duration // processes that were told to end may need a moment
}

// hearInterrupts has children of the tests end by SIGINT, even if the run was started
// in the background of a shell, which ignores that. Children would inherit it, and a
// script that fails would wait for ever for what it interrupts at its end.
func hearInterrupts() {
	if signal.Ignored(os.Interrupt) {
		signal.Notify(make(chan os.Signal, 1), os.Interrupt) // without effect on this process
	}
}

func (r tidy) Run() int {
	hearInterrupts()
	if os.Getenv(tidyVariable) != "" {
		return r.tests.Run()
	}
	directory, err := temporary()
	if err != nil {
		fmt.Fprintln(r.output, "make a temporary directory:", err)
		return 1
	}
	former, set := os.LookupEnv("TMPDIR")
	os.Setenv("TMPDIR", directory)
	os.Setenv(tidyVariable, directory)
	code := r.tests.Run()
	os.Unsetenv(tidyVariable)
	os.Unsetenv("TMPDIR")
	if set {
		os.Setenv("TMPDIR", former)
	}
	Await(context.Background(), r.grace, func() bool { return len(processesOf(directory)) == 0 })
	for pid, arguments := range processesOf(directory) {
		fmt.Fprintf(r.output, "FAIL: the tests left a process running: %s\n", arguments)
		_ = syscall.Kill(pid, syscall.SIGKILL) // its mark says that it belongs to this run
		code = max(code, 1)
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		fmt.Fprintln(r.output, err)
		code = max(code, 1)
	}
	for _, entry := range entries {
		fmt.Fprintf(r.output, "FAIL: the tests left %s in the temporary directory\n", entry.Name())
		code = max(code, 1)
	}
	if err := os.RemoveAll(directory); err != nil {
		fmt.Fprintln(r.output, err)
		code = max(code, 1)
	}
	return code
}

// temporary makes a directory for everybody, like /tmp. Its name is short,
// since the path of a socket is limited.
func temporary() (string, error) {
	for tries := 0; ; tries++ {
		directory := filepath.Join(os.TempDir(), "t"+strconv.FormatUint(uint64(rand.Uint32N(1<<24)), 36))
		err := os.Mkdir(directory, 0o700)
		if os.IsExist(err) && tries < 100 {
			continue
		}
		if err == nil {
			err = os.Chmod(directory, os.ModeSticky|0o777)
		}
		return directory, err
	}
}

// processesOf finds the processes, besides this one, with a mark of directory,
// and their command lines.
func processesOf(directory string) map[int]string {
	found := map[int]string{}
	paths, _ := filepath.Glob("/proc/[0-9]*")
	for _, path := range paths {
		pid, _ := strconv.Atoi(filepath.Base(path))
		if pid == os.Getpid() || !Runs(pid) {
			continue
		}
		arguments, _ := os.ReadFile(filepath.Join(path, "cmdline"))
		environment, _ := os.ReadFile(filepath.Join(path, "environ"))
		place, _ := os.Readlink(filepath.Join(path, "cwd"))
		for _, text := range [][]byte{append(arguments, 0), append(environment, 0), []byte(place + "\x00")} {
			if bytes.Contains(text, []byte(directory+"/")) || bytes.Contains(text, []byte(directory+"\x00")) {
				found[pid] = string(bytes.ReplaceAll(bytes.TrimRight(arguments, "\x00"), []byte{0}, []byte{' '}))
			}
		}
	}
	return found
}
