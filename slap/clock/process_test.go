// SPDX-License-Identifier: GPL-3.0-or-later

package clock_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"slapos/slap/clock"
)

func TestBeganAfter(t *testing.T) {
	child := exec.Command("sleep", "600")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for moment, want := range map[time.Time]bool{now: false, now.Add(-time.Minute): true, now.Add(time.Hour): false} {
		if clock.BeganAfter(child.Process.Pid, moment) != want {
			t.Errorf("a process that began at %s did so after %s: want %t", now, moment, want)
		}
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	if clock.BeganAfter(child.Process.Pid, now.Add(-time.Minute)) {
		t.Error("a process that ended began")
	}
	if clock.BeganAfter(os.Getpid(), time.Now()) {
		t.Error("this process began just now")
	}
}
