// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"slapos/grid/parts"
	"slapos/grid/pass"
	"slapos/slap/clock"
)

// checkSpace also covers what a build may need besides the release (GRID-26).
func (r *release) checkSpace(context.Context) (pass.Outcome, error) {
	return pass.Done, pass.CheckFreeSpace(r.directory, r.node.Software.MinFreeSpace, "software_min_free_space")
}

// fetch gets the release from the cache, which is tried for a first
// installation only. A failure means that the release is built, unless that is
// forbidden (GRID-27).
func (r *release) fetch(ctx context.Context) (pass.Outcome, error) {
	o := r.node.Software
	_, forced := prefixOf(r.url, o.DownloadForced)
	if r.exists() {
		if forced {
			return "", fmt.Errorf("Binary cache forced for '%s', but directory %s already exists, will retry again", r.url, r.directory)
		}
		return pass.Skipped, nil
	}
	found, err := r.tryFetch(ctx)
	if err != nil {
		return "", err
	}
	if !found && forced {
		return "", fmt.Errorf("Binary cache forced for '%s', but failed to download, will retry again", r.url)
	}
	r.fetched = found
	if !found {
		return pass.Skipped, nil
	}
	return pass.Done, nil
}

func (r *release) tryFetch(ctx context.Context) (found bool, err error) {
	if r.node.Software.Cache == nil {
		return false, nil
	}
	if prefix, listed := prefixOf(r.url, r.node.Software.DownloadBlacklist); listed {
		r.log.Info(fmt.Sprintf("URL %s is blacklisted", prefix))
		return false, nil
	}
	r.step("downloading")
	found, err = r.node.Software.Cache.Fetch(ctx, r.url, r.directory, r.log)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		r.log.Info(fmt.Sprintf("Failed to download from network cache %s: %v", r.url, err))
		return false, nil
	}
	return found, nil
}

// prefixOf finds the first of prefixes that url starts with (NC-2).
func prefixOf(url string, prefixes []string) (prefix string, found bool) {
	for _, prefix := range prefixes {
		if strings.HasPrefix(url, prefix) {
			return prefix, true
		}
	}
	return "", false
}

// upload begins to put a release that was built here into the cache (GRID-28).
// The master is told at once that it is available (D-21).
func (r *release) upload(ctx context.Context) (pass.Outcome, error) {
	o := r.node.Software
	if r.fetched || !o.Upload || o.Cache == nil {
		return pass.Skipped, nil
	}
	if _, listed := prefixOf(r.url, o.UploadBlacklist); listed {
		r.log.Info("Can't upload to binary cache: Software Release URL is blacklisted.")
		return pass.Skipped, nil
	}
	var used []string
	if r.root.Exists(".shared") { // D-11
		var err error
		if used, err = parts.Used(r.node.SharedParts, r.directory, r.log); err != nil {
			r.log.Warn(fmt.Sprintf("Not uploaded to the network cache: the shared parts of %s: %v", r.url, err))
			return pass.Skipped, nil
		}
	}
	r.node.uploads.begin(ctx, o, upload{r.url, r.directory, used, r.log})
	return pass.Done, nil
}

// uploadsAtOnce bounds the memory of a pass that built many releases.
const uploadsAtOnce = 2

// uploads run beside the pass, which waits for them at its end.
type uploads struct {
	running sync.WaitGroup
	slots   chan struct{} // one for each push under way
}

// An upload is one release on its way to the cache.
type upload struct {
	url, directory string
	parts          []string // shared ones that it uses
	log            *slog.Logger
}

func (u *uploads) begin(ctx context.Context, o SoftwareOptions, release upload) {
	u.running.Go(func() {
		if err := u.try(ctx, o, release); err != nil {
			release.log.Warn(fmt.Sprintf("Given up uploading %s: %v", release.url, err))
		}
	})
}

func (u *uploads) try(ctx context.Context, o SoftwareOptions, release upload) error {
	delay := o.UploadDelay
	for try := range o.UploadTries {
		u.slots <- struct{}{}
		release.log.Info(fmt.Sprintf("Trying to upload archive of software release (try %d)...", try))
		err := o.Cache.Push(ctx, release.url, release.directory, release.parts, release.log)
		<-u.slots
		if err == nil || errors.Is(err, context.Canceled) || try == o.UploadTries-1 {
			return err
		}
		release.log.Info(fmt.Sprintf("Failed to upload %s, next try in %s: %v", release.url, delay, err))
		if err := clock.Pause(ctx, delay); err != nil {
			return err
		}
		delay *= 2
	}
	return nil
}
