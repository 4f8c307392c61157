// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"slapos/grid/supervisor/config"
	"slapos/slap/testkit"
)

// TestPIDFileOfAReusedNumber: a process that names our configuration is the
// supervisor of Python that wrote the file, unless it is younger than the file
// (GRID-108).
func TestPIDFileOfAReusedNumber(t *testing.T) {
	configuration := testkit.WriteFile(t, filepath.Join(t.TempDir(), "supervisord.conf"), "")
	other := exec.Command("tail", "-f", configuration)
	other.Args[0] = "supervisord"
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	for _, test := range []struct {
		age    time.Duration
		served bool
	}{{0, true}, {time.Hour, false}} {
		path := testkit.WriteFile(t, filepath.Join(t.TempDir(), "supervisord.pid"), strconv.Itoa(other.Process.Pid)+"\n")
		written := time.Now().Add(-test.age)
		if err := os.Chtimes(path, written, written); err != nil {
			t.Fatal(err)
		}
		file, err := takePIDFile(path, configuration)
		var served *servedError
		if errors.As(err, &served) != test.served {
			t.Errorf("a file of %s: %v", test.age, err)
		}
		if file != nil {
			file.release()
		}
	}
}

// TestClaimWaits for the lock of a supervisor that was killed a moment ago.
func TestClaimWaits(t *testing.T) {
	directory := t.TempDir()
	d := &daemon{config: &config.Config{
		PIDFile: filepath.Join(directory, "supervisord.pid"),
		Servers: []config.Server{{Socket: filepath.Join(directory, "sv.sock")}},
	}}
	killed, err := takePIDFile(d.config.PIDFile, "")
	if err != nil {
		t.Fatal(err)
	}
	claimed := make(chan error)
	go func() { claimed <- d.claimPIDFile() }()
	select {
	case err := <-claimed:
		t.Fatalf("it didn't wait: %v", err)
	case <-time.After(answerLimit / 50):
	}
	killed.file.Close()
	if err := <-claimed; err != nil {
		t.Error(err)
	}
}
