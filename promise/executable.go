// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"slapos/promise/process"
	"slapos/slap"
)

const (
	executablePeriod = 2        // minutes (PROM-30)
	maxOutput        = 64 << 10 // how much of the end of an executable's output its log keeps, in bytes
	// termGrace is the time between SIGTERM and SIGKILL (PROM-24).
	termGrace = time.Second
	// headStart is how long an executable runs before the next starts beside
	// it: quick ones run one after the other, and some rely on that.
	headStart = 25 * time.Millisecond
)

// executableKind is that of programs (PROM-30).
type executableKind struct{}

func (executableKind) String() string { return "executable" }
func (executableKind) Folder() string { return "etc/promise" }

func (k executableKind) accepts(r *run, name string) bool {
	path := r.path(k, name)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || !mayExecute(path) {
		r.logger.Warn("Bad promise file at " + slap.PythonRepr(path) + ".")
		return false
	}
	return true
}

// mayExecute asks the kernel, for the user whose file access this thread has.
func mayExecute(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS) == nil
}

func (executableKind) start(ctx context.Context, r *run, _, due []*check) task {
	r.begin(due)
	done := make(chan error, 1)
	go func() { done <- r.runExecutables(ctx, due) }()
	return task{wait: sync.OnceValue(func() error { return <-done })}
}

// runExecutables runs several at once. Those with the same title share their
// files and run one after the other.
func (r *run) runExecutables(ctx context.Context, executables []*check) error {
	queues := map[string][]*check{}
	for _, c := range executables {
		queues[c.title] = append(queues[c.title], c)
		defer c.end() // of those that an early return leaves
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.executablesAtOnce())
	for _, first := range executables {
		queue := queues[first.title]
		if queue[0] != first {
			continue
		}
		over := make(chan struct{})
		group.Go(func() error {
			defer close(over)
			for _, c := range queue {
				if c.before != nil {
					<-c.before.ended
				}
				if err := r.runExecutable(ctx, c); err != nil {
					return err
				}
				c.end()
			}
			return nil
		})
		select {
		case <-over:
		case <-time.After(headStart):
		}
	}
	return group.Wait()
}

// executablesAtOnce is more than the number of processors: most executables
// wait for something.
func (r *run) executablesAtOnce() int {
	if r.Parallel == 1 {
		return 1
	}
	return max(r.Parallel, 8)
}

// runExecutable runs one promise. It judges by the promise's log, the only
// memory of former runs (PROM-33).
func (r *run) runExecutable(ctx context.Context, c *check) error {
	err := r.files.do(func() error {
		info, err := os.Stat(c.path)
		if err != nil {
			return err
		}
		return r.files.replace(cacheFolder+"/"+c.title, cacheText(c.path, info, r.Now()))
	})
	if err != nil {
		r.logger.Warn("The schedule of a promise could not be stored.", "promise", c.name, "error", err)
	}
	command := &process.Command{Path: c.path, In: r.Root, Env: r.executableEnvironment(), User: r.user,
		KeepOutput: maxOutput, Timeout: r.Timeout, Grace: termGrace, EndAll: true}
	result, err := command.Run(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	entries := r.logEntries(c, result, err)
	r.mutex.Lock()
	c.own = entries
	r.mutex.Unlock()
	log, errLog := r.appendLog(c.title, entries)
	if errLog != nil {
		r.logger.Warn("The log of a promise could not be kept.", "promise", c.name, "error", errLog)
	}
	if result.TimedOut {
		r.settle(c, r.late(c, result.Duration))
		return nil
	}
	failed, message := judge(parseHistory(log, 3), r.Mode)
	r.settle(c, outcome{resultType: testResult, failed: failed, message: &message, duration: result.Duration})
	return nil
}

// logEntries returns the lines that the log gets for a run.
func (r *run) logEntries(c *check, result process.Result, err error) []logEntry {
	output := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(result.Output)
	output = strings.TrimSpace(output)
	switch {
	case result.TimedOut:
		return []logEntry{{level: "INFO", text: fmt.Sprintf("Terminating promise process '%s'", c.name)}, {level: "ERROR", text: output}}
	case err != nil:
		return []logEntry{{level: "ERROR", text: startError(c.path, err)}}
	case result.ExitCode != 0:
		return []logEntry{{level: "ERROR", text: output}}
	}
	return []logEntry{{level: "INFO", text: output}}
}

// startError describes a failure to start a program as Python does.
func startError(path string, err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err.Error()
	}
	text := errno.Error()
	return fmt.Sprintf("[Errno %d] %s: '%s'", int(errno), strings.ToUpper(text[:1])+text[1:], path)
}

// executableEnvironment is clean if there are plugins with their own
// interpreter, and else the agent's (PROM-32).
func (r *run) executableEnvironment() []string {
	if r.Interpreter != "" && len(r.of(Plugin)) > 0 {
		return process.CleanEnvironment(r.Environ, r.user.Home)
	}
	return r.Environ
}
