// SPDX-License-Identifier: GPL-3.0-or-later

// Package supervision makes the process supervisor follow its files during a
// pass. A [Supervision] is the pass's view of the supervisor: its only client,
// the layout of its files, and what changed in them. A [Partition] manages the
// services of one partition:
//
//	files of a group are written ─ the supervisor reads all files anew, and says
//	which groups differ from what it runs ─ each partition changes its own groups,
//	at its own pace
//
// Partitions that request a reading during another one share the next. The
// supervisor itself, ours or Python's, is in package supervisor.
package supervision

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"syscall"

	"slapos/grid/supervisor"
)

// Options say how to start the supervisor of an instance root.
type Options struct {
	// Executable is this program, which is the supervisor, too.
	Executable string
	// WatchdogCommand is the supervisor's event listener.
	WatchdogCommand string
	// LaunchForbidden leaves its start to somebody else.
	LaunchForbidden bool
	// Daemons are programs of the node; one without a command doesn't exist.
	Daemons []supervisor.SystemDaemon
	// Commons is shared by passes that run at the same time in one process; nil for
	// one that runs alone.
	Commons *Commons
}

// A Supervision is one pass's view of the supervisor. Several goroutines may
// call its methods at once.
type Supervision struct {
	options Options
	layout  supervisor.Layout
	client  *supervisor.Client
	log     *slog.Logger

	changes *changes
	unseen  unseen
}

// New returns the supervision of an instance root; close it after use.
func New(instanceRoot string, options Options, log *slog.Logger) *Supervision {
	layout := supervisor.Layout{InstanceRoot: instanceRoot, Logger: log}
	if options.Commons == nil {
		options.Commons = NewCommons()
	}
	options.Commons.join()
	return &Supervision{
		options: options, layout: layout, client: supervisor.NewClient(layout.Socket()), log: log,
		changes: options.Commons.changes,
	}
}

// Close ends the connection to the supervisor, which keeps running.
func (s *Supervision) Close() {
	s.options.Commons.leave()
	s.client.Close()
}

// WriteConfiguration writes the files of the supervisor and of the node's
// daemons.
func (s *Supervision) WriteConfiguration(ctx context.Context) error {
	if err := s.layout.StopSecond(ctx); err != nil {
		return err
	}
	if err := supervisor.WriteConfiguration(s.layout, s.options.WatchdogCommand); err != nil {
		return err
	}
	for _, daemon := range s.options.Daemons {
		changed, err := s.layout.WriteSystemDaemon(daemon)
		if err != nil {
			return err
		}
		if changed {
			s.changes.noteUnclaimed()
		}
	}
	return nil
}

// Start writes the configuration and starts the supervisor, unless that is
// forbidden.
func (s *Supervision) Start(ctx context.Context) error {
	if err := s.WriteConfiguration(ctx); err != nil {
		return err
	}
	if s.options.LaunchForbidden {
		return nil
	}
	return supervisor.Launch(ctx, s.layout, supervisor.LaunchOptions{Executable: s.options.Executable, Logger: s.log})
}

// StartAll starts all configured programs. It ignores failures of single
// programs.
func (s *Supervision) StartAll(ctx context.Context) error {
	return exceptProcesses(s.client.StartAll(ctx))
}

// exceptProcesses drops the errors of single processes from the error of a call
// on several.
func exceptProcesses(err error) error {
	var failed supervisor.ProcessErrors
	if errors.As(err, &failed) {
		return nil
	}
	return err
}

// isNotRunning reports whether an error means that nobody listens on the
// supervisor's socket.
func isNotRunning(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// isUnknownName reports whether an error means that the supervisor doesn't have
// the name (any more).
func isUnknownName(err error) bool {
	var fault *supervisor.Fault
	return errors.As(err, &fault) && fault.Code == supervisor.FaultBadName
}
