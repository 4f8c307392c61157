// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"slapos/manager"
	"slapos/slap"
)

// A Node is what all passes know of the node. Empty optional fields mean none,
// unless said otherwise.
type Node struct {
	ComputerID string
	// MasterURL as configured, for the profiles of instances (GRID-57).
	MasterURL    string
	SoftwareRoot string // directory of Software Releases
	InstanceRoot string // directory of partitions

	Master *slap.Client
	// Computer returns what the master wants; nil: the master is asked.
	Computer func(context.Context) (*slap.Computer, error)
	Managers []manager.Manager
	Logger   *slog.Logger
	// Hide removes passwords and tokens from text that leaves the agent: errors
	// sent to the master, and the log and the error that partitions can read.
	// If nil, text leaves unchanged. Logger must hide them itself.
	Hide func(text string) string
	// Only limits the pass to these partitions, or to the releases with these
	// URLs or md5 sums of URLs.
	Only []string
	// Jobs is how many releases or partitions are processed at the same time (D-6).
	Jobs int
	// Environment is the agent's, "NAME=value", cleaned for children (GRID-12).
	Environment []string
	// Python is the interpreter that bootstraps zc.buildout (D-2); empty means
	// the first one found.
	Python string
	// Buildout is a script that bootstraps in place of zc.buildout's module.
	Buildout                    string
	BuildoutDebug               bool
	SharedParts, BuildTimeParts Lines // directories
	// Force processes items that are already complete, too ("develop").
	Force bool

	// Progress shows the progress of a pass; nil: nowhere.
	Progress Progress

	// Now is the clock; default: time.Now.
	Now func() time.Time
}

// Lines is an option that has an entry on each line. Profiles get the text as it is
// configured: releases hash them (GRID-57).
type Lines string

// List returns the entries in order, without white space around them and empty lines.
func (l Lines) List() []string {
	var list []string
	for line := range strings.Lines(string(l)) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}

// DefaultMinFreeSpace is what must be free on a disk, in bytes, where nothing
// else is said (GRID-5).
const DefaultMinFreeSpace = 1000 << 20

// WithDefaults replaces nil fields that need a value. With BuildoutDebug items
// are processed one by one, since there is only one terminal.
func (n Node) WithDefaults() Node {
	if n.Logger == nil {
		n.Logger = slog.New(slog.DiscardHandler)
	}
	if n.Now == nil {
		n.Now = time.Now
	}
	if n.Hide == nil {
		n.Hide = func(text string) string { return text }
	}
	if n.Progress == nil {
		n.Progress = unwatched{}
	}
	if master, computer := n.Master, n.ComputerID; n.Computer == nil {
		n.Computer = func(ctx context.Context) (*slap.Computer, error) {
			return master.FullComputerInformation(ctx, computer)
		}
	}
	if n.BuildoutDebug {
		n.Jobs = 1
	}
	return n
}

// Progress receives the progress of a long pass, for a user who watches.
type Progress interface {
	// Plan announces the number of releases or partitions.
	Plan(items int)
	// Begin and End enclose the work on each release or partition.
	Begin(item string)
	End(item string)
	// Step says what is being done.
	Step(item, doing string)
}

// unwatched is a Progress that shows nothing.
type unwatched struct{}

func (unwatched) Plan(int)            {}
func (unwatched) Begin(string)        {}
func (unwatched) End(string)          {}
func (unwatched) Step(string, string) {}

// Each calls work for the items 0 to count-1 in that order, Jobs at a time,
// each with its own log. An error of work, or the end of ctx, stops it from
// beginning further items. It returns the first error after all begun items
// have ended.
func (n *Node) Each(ctx context.Context, count int, work func(ctx context.Context, item int, log *slog.Logger) error) error {
	jobs := min(n.Jobs, count)
	if jobs <= 1 {
		for item := range count {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := work(ctx, item, n.Logger); err != nil {
				return err
			}
		}
		return nil
	}
	var (
		logs    ItemLog
		mu      sync.Mutex
		next    int
		failure error
		workers sync.WaitGroup
	)
	begin := func() (item int, log *slog.Logger, end func()) {
		mu.Lock()
		defer mu.Unlock()
		if failure == nil {
			failure = ctx.Err()
		}
		if failure != nil || next == count {
			return count, nil, nil
		}
		item = next
		next++
		log, end = logs.Begin(n.Logger)
		return item, log, end
	}
	for range jobs {
		workers.Go(func() {
			for {
				item, log, end := begin()
				if item == count {
					return
				}
				err := work(ctx, item, log)
				end()
				mu.Lock()
				if failure == nil {
					failure = err
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return failure
}

// reportTimeout bounds calls to the master after an interrupt.
const reportTimeout = 20 * time.Second

// Report calls the master to report a failure, even after an interrupt. If that
// call fails, Report logs it (GRID-24).
func (n *Node) Report(ctx context.Context, log *slog.Logger, call func(context.Context) error) {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
		defer cancel()
	}
	if err := call(ctx); err != nil {
		log.Error(fmt.Sprintf("Problem while reporting error, continuing: %v", err))
	}
}

// IsOffline reports whether an error means that the master is unavailable: no
// answer, or an answer that isn't the master's own (GRID-40).
func IsOffline(err error) bool {
	if errors.Is(err, slap.ErrConnection) || errors.Is(err, slap.ErrServer) {
		return true
	}
	var answer *slap.HTTPError
	return errors.As(err, &answer) && !errors.Is(err, slap.ErrNotFound) && !errors.Is(err, slap.ErrNotReady)
}
