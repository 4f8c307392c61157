// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"context"
	"fmt"
	"strings"

	"slapos/grid/pass"
)

// checkSpace also checks what a build may need besides the release (GRID-26).
func (r *release) checkSpace(context.Context) pass.Outcome {
	return pass.Ended(pass.CheckFreeSpace(r.directory, r.options.MinFreeSpace, "software_min_free_space"))
}

// fetch gets the release from the cache, for a first installation only. If that
// fails, the release is built, unless that is forbidden (GRID-27).
func (r *release) fetch(ctx context.Context) pass.Outcome {
	o := r.options
	_, forced := prefixOf(r.url, o.DownloadForced)
	if r.exists() {
		if forced {
			return pass.Failed(fmt.Errorf("Binary cache forced for '%s', but directory %s already exists, will retry again", r.url, r.directory))
		}
		return pass.Skipped
	}
	found, err := r.tryFetch(ctx)
	if err != nil {
		return pass.Failed(err)
	}
	if !found && forced {
		return pass.Failed(fmt.Errorf("Binary cache forced for '%s', but failed to download, will retry again", r.url))
	}
	r.fetched = found
	return pass.DoneIf(found)
}

func (r *release) tryFetch(ctx context.Context) (found bool, err error) {
	if r.options.Cache == nil {
		return false, nil
	}
	if prefix, listed := prefixOf(r.url, r.options.DownloadBlacklist); listed {
		r.log.Info(fmt.Sprintf("URL %s is blacklisted", prefix))
		return false, nil
	}
	r.step("downloading")
	found, err = r.options.Cache.Fetch(ctx, r.url, r.directory, r.log)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		r.log.Info(fmt.Sprintf("Failed to download from network cache %s: %v", r.url, err))
		return false, nil
	}
	return found, nil
}

// prefixOf returns the first of prefixes that url starts with (NC-2).
func prefixOf(url string, prefixes []string) (prefix string, found bool) {
	for _, prefix := range prefixes {
		if strings.HasPrefix(url, prefix) {
			return prefix, true
		}
	}
	return "", false
}
