// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"
)

// recorder is a test that fails without ending the test that watches it.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Fatalf(string, ...any) { r.failed = true; panic(r) }

func TestEventually(t *testing.T) {
	calls := 0
	Eventually(t, time.Minute, "the third call", func() bool { calls++; return calls == 3 })
	if calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
	r := &recorder{TB: t}
	func() {
		defer func() { recover() }()
		Eventually(r, 10*time.Millisecond, "never", func() bool { return false })
	}()
	if !r.failed {
		t.Error("waiting in vain did not fail the test")
	}
}

func TestAwaitEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	if Await(ctx, Patience, func() bool { calls++; cancel(); return false }) {
		t.Error("it came, says the wait that was ended")
	}
	if calls != 2 { // the last one checks for what came at the same moment
		t.Errorf("%d calls", calls)
	}
}

func TestOnce(t *testing.T) {
	begin, done := make(chan struct{}), make(chan struct{})
	Once(t, "it begins", func() bool {
		select {
		case <-begin:
			return true
		default:
			return false
		}
	}, func() { close(done) })
	select {
	case <-done:
		t.Fatal("done before it began")
	default:
	}
	close(begin)
	<-done
	t.Run("ended", func(t *testing.T) {
		Once(t, "never", func() bool { return false }, func() { t.Error("done although it never began") })
	})
}

func TestRuns(t *testing.T) {
	if !Runs(os.Getpid()) {
		t.Error("this process does not run")
	}
	command := exec.Command("true")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	Eventually(t, Patience, "it only waits to be reaped", func() bool { return !Runs(command.Process.Pid) })
	if err := command.Wait(); err != nil || Runs(command.Process.Pid) {
		t.Errorf("it runs, %v", err)
	}
}
