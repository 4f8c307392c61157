// SPDX-License-Identifier: GPL-3.0-or-later

// Package supervision makes the process supervisor follow its files during a
// pass. A [Supervision] is what the pass has of the supervisor: the one client,
// the layout of its files, and what changed in them. A [Partition] is what is done
// with the services of one partition:
//
//	files of a group are written ─ the supervisor reads all files anew, and says
//	which groups differ from what it runs ─ each partition changes its own groups,
//	at its own pace
//
// Partitions that ask for a reading while one is under way share the next one.
// The supervisor itself, ours or Python's, is package supervisor.
package supervision

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"syscall"

	"slapos/grid/supervisor"
)

// Options say how the supervisor of an instance root is started.
type Options struct {
	// Executable is this program, which is also the supervisor.
	Executable string
	// WatchdogCommand is the supervisor's event listener.
	WatchdogCommand string
	// LaunchForbidden leaves starting it to somebody else.
	LaunchForbidden bool
	// Daemons are programs of the node, those without a command being absent.
	Daemons []supervisor.SystemDaemon
}

// A Supervision is what one pass has of the supervisor. Its methods may be called
// from several goroutines.
type Supervision struct {
	options Options
	layout  supervisor.Layout
	client  *supervisor.Client
	log     *slog.Logger

	changes changes
	unseen  unseen
}

// New makes the supervision of an instance root; close it after use.
func New(instanceRoot string, options Options, log *slog.Logger) *Supervision {
	layout := supervisor.Layout{InstanceRoot: instanceRoot, Logger: log}
	return &Supervision{
		options: options, layout: layout, client: supervisor.NewClient(layout.Socket()), log: log,
		changes: newChanges(),
	}
}

// Close ends the connection to the supervisor, which goes on.
func (s *Supervision) Close() { s.client.Close() }

// WriteConfiguration writes the supervisor's own files and those of the node's
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
			s.changes.noteOfNobody()
		}
	}
	return nil
}

// Start writes the configuration and starts the supervisor, unless that is left
// to somebody else.
func (s *Supervision) Start(ctx context.Context) error {
	if err := s.WriteConfiguration(ctx); err != nil {
		return err
	}
	if s.options.LaunchForbidden {
		return nil
	}
	return supervisor.Launch(ctx, s.layout, supervisor.LaunchOptions{Executable: s.options.Executable, Logger: s.log})
}

// StartAll starts what is configured. What becomes of each program is not of
// interest.
func (s *Supervision) StartAll(ctx context.Context) error {
	return exceptProcesses(s.client.StartAll(ctx))
}

// exceptProcesses is the error of a call for several processes, without what
// became of single ones.
func exceptProcesses(err error) error {
	var failed supervisor.ProcessErrors
	if errors.As(err, &failed) {
		return nil
	}
	return err
}

// isNotRunning tells that nobody listens on the supervisor's socket.
func isNotRunning(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// isUnknownName tells that the supervisor has nothing of that name (any more).
func isUnknownName(err error) bool {
	var fault *supervisor.Fault
	return errors.As(err, &fault) && fault.Code == supervisor.FaultBadName
}
