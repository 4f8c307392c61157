// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"slapos/grid/firewall"
	"slapos/grid/pass"
	"slapos/grid/supervision"
	"slapos/slap"
)

// A node is this node during one pass over its releases or partitions.
type node struct {
	Options
	supervision *supervision.Supervision
	uploads     uploads
	firewall    *firewall.Firewall // nil: partitions have no rules

	periodicities periodicities
	interpreters  interpreters
}

func newNode(options Options) *node {
	p := &node{Options: options.withDefaults()}
	if p.BuildoutDebug {
		p.Jobs = 1 // there is one terminal
	}
	p.uploads.slots = make(chan struct{}, uploadsAtOnce)
	p.supervision = supervision.New(p.InstanceRoot, p.Supervisor, p.Options.Firewall.Daemons(), p.Logger)
	if p.Firewall != nil {
		p.firewall = firewall.New(*p.Firewall, p.Environment, p.Logger)
	}
	return p
}

func (p *node) close() { p.supervision.Close() }

// releaseDirectory is where the release of a URL is installed (GRID-20).
func (p *node) releaseDirectory(url string) string {
	return filepath.Join(p.SoftwareRoot, md5Sum(url))
}

func md5Sum(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// each calls work for the items 0 to n-1, Jobs at once, and begins them in that
// order; each has a log of its own. An error of work, or the end of ctx, keeps
// further items from being begun, and the first is returned after all that were
// begun have ended.
func (p *node) each(ctx context.Context, n int, work func(ctx context.Context, item int, log *slog.Logger) error) error {
	jobs := min(p.Jobs, n)
	if jobs <= 1 {
		for item := range n {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := work(ctx, item, p.Logger); err != nil {
				return err
			}
		}
		return nil
	}
	var (
		logs    pass.ItemLog
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
		if failure != nil || next == n {
			return n, nil, nil
		}
		item = next
		next++
		log, end = logs.Begin(p.Logger)
		return item, log, end
	}
	for range jobs {
		workers.Go(func() {
			for {
				item, log, end := begin()
				if item == n {
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

// tell makes a call that reports a failure to the master. It is made after an
// interrupt, too, and its own failure is logged (GRID-24).
func (p *node) tell(ctx context.Context, log *slog.Logger, call func(context.Context) error) {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
		defer cancel()
	}
	if err := call(ctx); err != nil {
		log.Error(fmt.Sprintf("Problem while reporting error, continuing: %v", err))
	}
}

// tellInstanceError reports what went wrong with an instance, without secrets.
func (p *node) tellInstanceError(ctx context.Context, log *slog.Logger, id slap.PartitionID, failure error) {
	p.tell(ctx, log, func(ctx context.Context) error {
		return p.Master.InstanceError(ctx, id, p.Hide(failure.Error()))
	})
}

// isOffline tells whether an error means that the master can't be worked with
// at the moment: no answer, or an answer that isn't one of its own (GRID-40).
func isOffline(err error) bool {
	if errors.Is(err, slap.ErrConnection) || errors.Is(err, slap.ErrServer) {
		return true
	}
	var answer *slap.HTTPError
	return errors.As(err, &answer) && !errors.Is(err, slap.ErrNotFound) && !errors.Is(err, slap.ErrNotReady)
}
