// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/clock"
)

// lookAtHolder is how often a pid file is looked at that can't be waited for.
const lookAtHolder = 5 * time.Second

// AwaitPIDFile is TakePIDFile that waits for a live agent that holds the file, and
// calls waiting, unless nil, with its pid. It sleeps until that one lets go: a program
// of ours by the lock, another by the end of its process. Only where the kernel tells
// neither, it looks every few seconds.
func AwaitPIDFile(ctx context.Context, path string, logger *slog.Logger, waiting func(pid int)) (*PIDFile, error) {
	for {
		held, err := TakePIDFile(path, logger)
		var running *RunningError
		if !errors.As(err, &running) {
			return held, err
		}
		if waiting != nil {
			waiting(running.PID)
		}
		if err := awaitHolder(ctx, path, running.PID); err != nil {
			return nil, err
		}
	}
}

// awaitHolder returns when the holder of a pid file may have ended.
func awaitHolder(ctx context.Context, path string, pid int) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil { // one that locks nothing
		file.Close()
		return AwaitProcess(ctx, pid)
	}
	// The wait for a lock can't be interrupted: it ends with the lock, or with us.
	_, err = clock.Await(ctx, func() (struct{}, error) {
		defer file.Close()
		for {
			if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
				return struct{}{}, nil
			}
		}
	})
	return err
}

// AwaitProcess waits for the end of a process, which need not be a child.
func AwaitProcess(ctx context.Context, pid int) error {
	handle, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return clock.Pause(ctx, lookAtHolder)
	}
	process := os.NewFile(uintptr(handle), "process")
	defer process.Close()
	raw, err := process.SyscallConn()
	if err != nil {
		return clock.Pause(ctx, lookAtHolder)
	}
	stop := context.AfterFunc(ctx, func() { _ = process.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := raw.Read(func(fd uintptr) bool {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return ready > 0 || err != nil && !errors.Is(err, unix.EINTR)
	}); err != nil && ctx.Err() == nil {
		return clock.Pause(ctx, lookAtHolder)
	}
	return ctx.Err()
}
