// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"fmt"
	"log/slog"
	"strings"
)

// A Failure is a release or a partition that could not be processed.
type Failure struct {
	Item string // the URL of a release, the reference of a partition
	Type string // software type of an instance, "(not ready)" when unknown
	Err  error
}

// Result is the outcome of a completed pass.
type Result struct {
	Failed []Failure
	// Waiting are instances that need a release which is still to be built.
	Waiting []Failure
	// PromiseFailed are partitions in which only a promise failed.
	PromiseFailed []Failure
	// Offline means that the master could not be reached, and that the pass
	// kept this node's services running without it; OfflineErr says why that
	// failed.
	Offline    bool
	OfflineErr error
}

// Exit codes of the node commands (GRID-10).
const (
	ExitFailed        = 1
	ExitPromiseFailed = 2
	ExitOffline       = 3
	ExitRunning       = 10
)

// ExitCode is the exit code of the process. Nothing else decides it.
func (r Result) ExitCode() int {
	switch {
	case r.Offline && r.OfflineErr == nil:
		return ExitOffline
	case r.Offline || len(r.Failed)+len(r.Waiting) > 0:
		return ExitFailed
	case len(r.PromiseFailed) > 0:
		return ExitPromiseFailed
	}
	return 0
}

// A WaitError means that there is nothing wrong, but that something else must be
// done first. Err is what failed for that.
type WaitError struct {
	Reason string // "waits for ..."
	Err    error
}

func (e *WaitError) Error() string { return e.Reason }

func (e *WaitError) Unwrap() error { return e.Err }

// LogSummary logs the failures once more, at the end (GRID-55).
func (r Result) LogSummary(log *slog.Logger) {
	log.Info("Finished computer partitions.")
	log.Info(strings.Repeat("=", 80))
	logFailures(log, "Error while processing the following partitions:", r.Failed)
	logFailures(log, "The following partitions wait for their software:", r.Waiting)
	logFailures(log, "Error with promises for the following partitions:", r.PromiseFailed)
}

func logFailures(log *slog.Logger, title string, failures []Failure) {
	if len(failures) == 0 {
		return
	}
	log.Info(title)
	for _, f := range failures {
		log.Info(fmt.Sprintf("  %s[%s]: %s", f.Item, f.Type, f.Err))
	}
}
