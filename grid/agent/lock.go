// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import (
	"context"
	"log/slog"
	"sync"

	"slapos/grid/pass"
)

// locks are the pid files of the passes. The agent holds one while it runs such
// passes, however many, as one of the commands does while it runs.
type locks struct {
	log *slog.Logger

	mu    sync.Mutex
	files map[string]*lock
}

type lock struct {
	users int
	taken chan struct{} // closed when it is held, or couldn't be
	held  *pass.PIDFile
	err   error
}

func newLocks(log *slog.Logger) *locks { return &locks{log: log, files: map[string]*lock{}} }

// enter returns when the agent holds the pid file; leave gives it up. It calls waiting
// with the pid of another agent that has to end first.
func (l *locks) enter(ctx context.Context, path string, waiting func(pid int)) (leave func(), err error) {
	l.mu.Lock()
	f := l.files[path]
	first := f == nil
	if first {
		f = &lock{taken: make(chan struct{})}
		l.files[path] = f
	}
	f.users++
	l.mu.Unlock()
	if first {
		// For all who come meanwhile: their contexts end with this one.
		f.held, f.err = pass.AwaitPIDFile(ctx, path, l.log, waiting)
		close(f.taken)
	}
	<-f.taken
	if f.err != nil {
		l.leave(path, f)
		return nil, f.err
	}
	return func() { l.leave(path, f) }, nil
}

func (l *locks) leave(path string, f *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.users--; f.users > 0 {
		if f.err != nil && l.files[path] == f {
			delete(l.files, path) // the next one tries again
		}
		return
	}
	if l.files[path] == f {
		delete(l.files, path)
	}
	if f.held != nil {
		f.held.Release()
	}
}
