// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// TestLockOfStrangers: what another user can lock, a directory that everybody reads,
// holds up no pass, and the lock itself is nothing that others can open.
func TestLockOfStrangers(t *testing.T) {
	c := newTestCollector(t)
	logTo(c)
	pass(t, c)
	for _, directory := range []string{c.logDirectory(), c.Folders.PIDDirectory} {
		opened, err := os.Open(directory) // as anybody may
		if err != nil {
			t.Fatal(err)
		}
		defer opened.Close()
		if err := unix.Flock(int(opened.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(directory, lockName)); !os.IsNotExist(err) {
			t.Errorf("a lock is left in %s: %v", directory, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	if err := c.Pass(ctx); err != nil {
		t.Error(err)
	}
	if got := ask(t, c, "SELECT count(DISTINCT time) FROM folder"); got == "0" {
		t.Error("no disk usage was measured")
	}
}

// TestLockWaitsForAWhile: the wait for another pass says for which, and has an end.
func TestLockWaitsForAWhile(t *testing.T) {
	c := newTestCollector(t)
	log := logTo(c)
	directory := t.TempDir()
	unlock, _, err := tryLock(directory)
	if err != nil || unlock == nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(directory, lockName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the lock: %v, %v", info, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	_, err = lock(ctx, directory, 50*time.Millisecond, c.Logger)
	if err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), fmt.Sprintf("process %d still writes in %s", os.Getpid(), directory)) {
		t.Error(err)
	}
	if !strings.Contains(log.String(), fmt.Sprintf("Waiting for process %d, which writes in %s", os.Getpid(), directory)) {
		t.Error(log)
	}
	time.AfterFunc(100*time.Millisecond, unlock)
	again, err := lock(ctx, directory, time.Hour, c.Logger)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
