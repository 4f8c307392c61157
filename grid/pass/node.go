// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"slapos/manager"
	"slapos/slap"
)

// A Node is what all passes are told of the node that they work on. Empty
// optional fields mean none, unless said otherwise.
type Node struct {
	ComputerID string
	// MasterURL as configured, for the profiles of instances (GRID-57).
	MasterURL    string
	SoftwareRoot string // directory of Software Releases
	InstanceRoot string // directory of partitions

	Master   *slap.Client
	Managers []manager.Manager
	Logger   *slog.Logger
	// Hide takes passwords and tokens out of what leaves the agent: errors that
	// the master is told, and the log and the error that partitions are shown.
	// Nil: it all goes out as it is. The Logger does its own.
	Hide func(text string) string
	// Only limits the pass to these partitions, or to the releases with these
	// URLs or md5 sums of URLs.
	Only []string
	// Jobs is how many releases or partitions are processed at once (D-6).
	Jobs int
	// Environment of the agent, "NAME=value", cleaned for children (GRID-12).
	Environment []string
	// Python is the interpreter that bootstraps zc.buildout (D-2), empty for
	// the first one found.
	Python string
	// Buildout is a script that bootstraps instead of zc.buildout's module.
	Buildout      string
	BuildoutDebug bool
	// SharedParts and BuildTimeParts are directories, in order.
	SharedParts, BuildTimeParts []string
	// Force processes what is complete, too ("develop").
	Force bool

	// Progress shows how far a pass is; nil: nowhere.
	Progress Progress

	// Now is the clock; default: time.Now.
	Now func() time.Time
}

// DefaultMinFreeSpace is what must be free on a disk, in bytes, where nothing
// else is said (GRID-5).
const DefaultMinFreeSpace = 1000 << 20

// WithDefaults fills what must not be nil. There is one terminal: with
// BuildoutDebug items are processed one by one.
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
	if n.BuildoutDebug {
		n.Jobs = 1
	}
	return n
}

// Progress is told how far a long pass is, for a user who watches.
type Progress interface {
	// Plan tells how many releases or partitions there are.
	Plan(items int)
	// Begin and End tell of each release or partition that is worked on.
	Begin(item string)
	End(item string)
	// Step tells what is being done.
	Step(item, doing string)
}

// unwatched is the progress that nobody watches.
type unwatched struct{}

func (unwatched) Plan(int)            {}
func (unwatched) Begin(string)        {}
func (unwatched) End(string)          {}
func (unwatched) Step(string, string) {}

// Each calls work for the items 0 to count-1, Jobs at once, and begins them in
// that order; each has a log of its own. An error of work, or the end of ctx,
// keeps further items from being begun, and the first is returned after all that
// were begun have ended.
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

// reportTimeout bounds what is still told to the master after an interrupt.
const reportTimeout = 20 * time.Second

// Tell makes a call that reports a failure to the master. It is made after an
// interrupt, too, and its own failure is logged (GRID-24).
func (n *Node) Tell(ctx context.Context, log *slog.Logger, call func(context.Context) error) {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
		defer cancel()
	}
	if err := call(ctx); err != nil {
		log.Error(fmt.Sprintf("Problem while reporting error, continuing: %v", err))
	}
}

// IsOffline tells whether an error means that the master can't be worked with
// at the moment: no answer, or an answer that isn't one of its own (GRID-40).
func IsOffline(err error) bool {
	if errors.Is(err, slap.ErrConnection) || errors.Is(err, slap.ErrServer) {
		return true
	}
	var answer *slap.HTTPError
	return errors.As(err, &answer) && !errors.Is(err, slap.ErrNotFound) && !errors.Is(err, slap.ErrNotReady)
}
