// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"slapos/slap/clock"
)

// Running returns the process of the supervisor that answers on the layout's
// socket, 0 if nobody listens there.
func Running(ctx context.Context, l Layout) (pid int, err error) {
	client := NewClient(l.Socket())
	defer client.Close()
	answer, err := client.Call(ctx, "supervisor.getPID")
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("ask the supervisor for its process: %w", err)
	}
	pid, ok := answer.(int)
	if !ok {
		return 0, fmt.Errorf("the supervisor's process is %v", answer)
	}
	return pid, nil
}

// AwaitEnd returns when a process has ended, or with ctx.
func AwaitEnd(ctx context.Context, pid int) error {
	descriptor, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", pid, err)
	}
	_, err = clock.Await(ctx, func() (int, error) {
		defer unix.Close(descriptor)
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLIN}}, -1)
			if !errors.Is(err, unix.EINTR) {
				return n, err
			}
		}
	})
	return err
}
