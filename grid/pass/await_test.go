// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// The agent waits for a program of ours by its lock, for another by its process, and
// gives up when it is stopped (AGENT-7).
func TestAwaitPIDFile(t *testing.T) {
	testkit.NoLeaks(t)
	path := filepath.Join(t.TempDir(), "slapgrid.pid")
	logger := slog.New(slog.DiscardHandler)
	await := func(ctx context.Context, held chan *PIDFile) (waiting chan int, done chan error) {
		waiting, done = make(chan int, 10), make(chan error, 1)
		go func() {
			file, err := AwaitPIDFile(ctx, path, logger, func(pid int) { waiting <- pid })
			if err == nil {
				held <- file
			}
			done <- err
		}()
		return waiting, done
	}
	held := make(chan *PIDFile, 1)
	first, err := TakePIDFile(path, logger)
	if err != nil {
		t.Fatal(err)
	}
	waiting, done := await(t.Context(), held)
	if pid := <-waiting; pid != os.Getpid() {
		t.Errorf("waits for %d", pid)
	}
	first.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	(<-held).Release()

	other := exec.Command("sleep", "600")
	other.Args[0] = "slapos"
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Process.Kill()
	testkit.Eventually(t, testkit.Patience, "it has its name", func() bool { return isSlapos(other.Process.Pid) })
	if err := os.WriteFile(path, []byte(strconv.Itoa(other.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting, done = await(ctx, held)
	<-waiting
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	waiting, done = await(t.Context(), held)
	if pid := <-waiting; pid != other.Process.Pid {
		t.Errorf("waits for %d", pid)
	}
	other.Process.Kill()
	other.Wait()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	(<-held).Release()
	if err := AwaitProcess(t.Context(), other.Process.Pid); err != nil {
		t.Errorf("a process that is gone: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := AwaitProcess(ctx, os.Getpid()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
