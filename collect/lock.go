// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/clock"
	"slapos/slap/wholefile"
)

// lockName is the file of a lock, there while a pass runs. It is the collector's alone:
// whoever can open a file can lock it, and what everybody can read everybody could keep
// locked.
const lockName = ".slapos-collect.lock"

// lockPatience bounds the wait for another pass.
const lockPatience = 10 * time.Minute

const lockPoll = 20 * time.Millisecond

// lock waits until no other process has the lock of a directory, and takes it. When
// patience is over that is an error: a pass that hangs must not pile up those after it.
func lock(ctx context.Context, directory string, patience time.Duration, log *slog.Logger) (unlock func(), err error) {
	begun := time.Now()
	for logged := false; ; {
		unlock, holder, err := tryLock(directory)
		if unlock != nil || err != nil {
			return unlock, err
		}
		if !logged {
			log.Info(fmt.Sprintf("Waiting for process %s, which writes in %s", holder, directory))
			logged = true
		}
		if time.Since(begun) >= patience {
			return nil, fmt.Errorf("process %s still writes in %s after %s: wait until it has ended, or end it", holder, directory, patience)
		}
		if err := clock.Pause(ctx, lockPoll); err != nil {
			return nil, fmt.Errorf("wait for process %s, which writes in %s: %w", holder, directory, err)
		}
	}
}

// tryLock returns no unlock, but the number of the holder's process, when another
// process has the lock. slapos.core knows none.
func tryLock(directory string) (unlock func(), holder string, err error) {
	path := filepath.Join(directory, lockName)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, "", err
	}
	switch err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err {
	case nil:
		if !wholefile.IsAt(path, file) { // removed by its holder after we opened it
			file.Close()
			return tryLock(directory)
		}
		_, _ = file.WriteAt(fmt.Appendf(nil, "%-20d\n", os.Getpid()), 0) // only told
		return func() { os.Remove(path); file.Close() }, "", nil
	case unix.EWOULDBLOCK:
		text := make([]byte, 20)
		_, _ = file.ReadAt(text, 0)
		file.Close()
		return nil, strings.TrimSpace(strings.Trim(string(text), "\x00")), nil
	default:
		file.Close()
		return nil, "", fmt.Errorf("lock %s: %w", path, err)
	}
}
