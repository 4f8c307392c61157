// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Trace runs the test once more, alone, under strace, and returns those of its
// system calls as strace writes them, with the paths of descriptors. In the
// traced process, inner is true.
func Trace(t testing.TB, calls string) (trace string, inner bool) {
	t.Helper()
	const marker = "SLAPOS_TEST_TRACED"
	if os.Getenv(marker) == t.Name() {
		return "", true
	}
	strace := Program(t, "strace", "strace")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(t.TempDir(), "trace")
	command := exec.Command(strace, "-f", "-y", "-o", output, "-e", "trace="+calls, program)
	command.Env = append(os.Environ(), marker+"="+t.Name())
	RunAgain(t, command)
	return ReadFile(t, output), false
}
