// SPDX-License-Identifier: GPL-3.0-or-later

// Package process runs a child process for a partition or a Software Release:
// with the privileges of its owner, a clean environment, and only the standard
// descriptors. It reads the output line by line, bounded, and a time limit ends
// the whole process tree.
//
// A [Command] starts in its own session. The child of [Command.Run] is reaped
// only after its tree has been dealt with, so its number can't be reused
// meanwhile; descendants are signalled through pidfds for the same reason.
package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/child"
	"slapos/slap/confined"
)

// killWait is how long a killed tree may take to disappear (GRID-15).
const killWait = 10 * time.Second

// Command says what to run and how. Every field but Path may be zero.
type Command struct {
	Path string   // the program, absolute or relative to Dir
	Args []string // its arguments, without the program's name
	Dir  string   // working directory; empty: ours
	// In is the working directory, opened, whatever its name leads to by now;
	// if nil, Dir is used.
	In  *confined.Directory
	Env []string // the whole environment, see [CleanEnvironment]
	// User to become. If nil, or if the agent is not root, it stays the same (GRID-13).
	User *User
	// Umask of the child, 0 to inherit ours.
	Umask int
	// Output receives each line of the merged standard output and error,
	// without its line end and with undecodable bytes replaced. Lines beyond 64
	// KiB arrive in pieces. Only one goroutine at a time calls it, never after
	// Run returns.
	Output func(line string)
	// KeepOutput is how many bytes of the output's end Result.Output holds.
	KeepOutput int
	// Timeout of the whole tree; 0: no limit.
	Timeout time.Duration
	// Grace is the time between a SIGTERM to the child and SIGKILL for the tree
	// after a timeout; 0: killed at once.
	Grace time.Duration
	// EndAll kills whatever the child leaves in the background.
	EndAll bool
	// Terminal gives the child our standard input, output and error, as a
	// debugger needs; Output and KeepOutput are then unused.
	Terminal bool
	// Messages receives each line that the child writes to its descriptor 3, as
	// Output does, but up to 1 MiB long. If nil, there is no such descriptor.
	Messages func(line string)
	// Data is what the child can read from its descriptor 4, if not empty.
	Data []byte
}

// Result says how a child ended.
type Result struct {
	Output   string         // the end of the merged output, at most KeepOutput bytes
	ExitCode int            // exit status; -1 if a signal ended it
	Signal   syscall.Signal // the signal that ended it, or 0
	TimedOut bool
	Duration time.Duration
}

// TimeoutError is returned by [Command.Run] if the tree was killed after its
// timeout.
type TimeoutError struct {
	Command string
	Timeout time.Duration
}

func (e *TimeoutError) Error() string {
	seconds := strconv.FormatFloat(e.Timeout.Seconds(), 'f', -1, 64)
	return fmt.Sprintf("Command '%s' timed out after %s seconds", e.Command, seconds) // GRID-15
}

// Run starts the child and waits for its end, whatever the exit status. It
// fails if the child could not be started, if it timed out ([*TimeoutError]),
// or if ctx ended: its tree is then dead. A background process of the child
// lives on, unless EndAll is set, with nobody reading its output.
func (c *Command) Run(ctx context.Context) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	start, err := c.prepare()
	if err != nil {
		return Result{}, err
	}
	cmd := &exec.Cmd{Path: child.Program}
	// A debugger on the terminal must stay in its foreground group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: !c.Terminal}
	streams, err := c.connect(cmd, &start)
	defer streams.close()
	if err != nil {
		return Result{}, fmt.Errorf("start %s: %w", c.Path, err)
	}
	if c.EndAll {
		orphans.begin()
		defer orphans.end()
	}
	started := time.Now()
	cmd.Args, cmd.Env = start.Command()
	if err := c.start(cmd); err != nil {
		if inner := (*fs.PathError)(nil); errors.As(err, &inner) {
			err = inner.Err // "fork/exec PATH: " is about the program that becomes it
		}
		return Result{}, fmt.Errorf("start %s: %w", c.Path, err)
	}
	streams.begin()
	result, err := c.supervise(ctx, cmd)
	result.Duration = time.Since(started)
	result.Output = streams.finish()
	if failure := streams.failure(); failure != nil && err == nil {
		return Result{}, fmt.Errorf("start %s: %w", c.Path, failure)
	}
	return result, err
}

// start starts the child. From now on it counts as ours.
func (c *Command) start(cmd *exec.Cmd) error {
	orphans.changing.RLock()
	defer orphans.changing.RUnlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	orphans.add(cmd.Process.Pid)
	if c.EndAll {
		orphans.enter(c.uid(), cmd.Process.Pid)
	}
	return nil
}

// supervise waits for the child or for a reason to kill it, and reaps it.
func (c *Command) supervise(ctx context.Context, cmd *exec.Cmd) (Result, error) {
	pid := cmd.Process.Pid
	exited := make(chan struct{})
	go func() { // it ends with the child, which stays unreaped until then
		waitUnreaped(pid)
		close(exited)
	}()
	var expired <-chan time.Time
	if c.Timeout > 0 {
		timer := time.NewTimer(c.Timeout)
		defer timer.Stop()
		expired = timer.C
	}

	var result Result
	var cause error
	select {
	case <-exited:
	case <-ctx.Done():
		cause = ctx.Err()
	case <-expired:
		result.TimedOut = true
		cause = &TimeoutError{Command: strings.Join(append([]string{c.Path}, c.Args...), " "), Timeout: c.Timeout}
	}
	if cause != nil {
		c.end(pid, exited)
		select {
		case <-exited:
		case <-time.After(killWait):
			// It can't be killed while it waits for a device, so a goroutine
			// waits for it instead.
			go func() { <-exited; _ = orphans.reap(cmd) }()
			if c.EndAll {
				orphans.leave(c.uid())
			}
			return result, cause
		}
	}
	if c.EndAll {
		c.endLeftovers(pid)
	}
	err := orphans.reap(cmd)
	if cmd.ProcessState == nil {
		return result, fmt.Errorf("wait for %s: %w", c.Path, err)
	}
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	result.ExitCode = cmd.ProcessState.ExitCode()
	if status.Signaled() {
		result.Signal = status.Signal()
	}
	return result, cause
}

// end asks the child to stop if there is a grace time, then kills its tree.
func (c *Command) end(pid int, exited <-chan struct{}) {
	if c.Grace > 0 {
		_ = unix.Kill(pid, unix.SIGTERM)
		select {
		case <-exited:
		case <-time.After(c.Grace):
		}
	}
	if c.Terminal {
		killTree(pid)
	} else {
		killSession(pid)
	}
}

func (c *Command) prepare() (start child.Start, err error) {
	if c.Path == "" {
		return start, errors.New("start: no program given")
	}
	closeOnExec()
	start = child.Start{
		Path: c.Path, Args: append([]string{c.Path}, c.Args...), Umask: -1,
		Env: c.Env, // never ours by accident
	}
	if c.In == nil {
		start.Directory = c.Dir
	}
	if c.Umask != 0 {
		start.Umask = c.Umask
	}
	if c.User != nil && os.Geteuid() == 0 {
		if start.User, err = c.User.credential(); err != nil {
			return start, fmt.Errorf("start %s: %w", c.Path, err)
		}
	}
	return start, nil
}

// closeOnExec keeps descriptors that we inherited from our children: Go opens
// everything close-on-exec, but our parent perhaps did not (GRID-14).
var closeOnExec = sync.OnceFunc(closeOnExecAll)

func closeOnExecAll() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// waitUnreaped returns when pid, a child of ours, has ended. It leaves a
// zombie, so that the number isn't reused.
func waitUnreaped(pid int) {
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
			return
		}
	}
}
