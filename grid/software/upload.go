// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"slapos/grid/parts"
	"slapos/grid/pass"
	"slapos/slap/clock"
	"slapos/slap/confined"
)

// upload starts to upload a release that was built here (GRID-28). The master
// is informed at once that it is available (D-21).
func (r *release) upload(ctx context.Context) pass.Outcome {
	o := r.options
	if !o.Upload || o.Cache == nil {
		return pass.Skipped
	}
	if _, listed := prefixOf(r.url, o.UploadBlacklist); listed {
		r.log.Info("Can't upload to binary cache: Software Release URL is blacklisted.")
		return pass.Skipped
	}
	var used []string
	if r.root.Exists(".shared") { // D-11
		var err error
		if used, err = parts.Used(r.node.SharedParts.List(), r.directory, r.log); err != nil {
			r.log.Warn(fmt.Sprintf("Not uploaded to the network cache: the shared parts of %s: %v", r.url, err))
			return pass.Skipped
		}
	}
	r.uploads.begin(ctx, o, upload{url: r.url, directory: r.directory, parts: used, log: r.log})
	return pass.Done
}

// OpenPacked returns a function that opens releases and shared parts for
// packing: from the directories that hold them, as directories of the same
// owner. Their builders can replace them with links to anything, even after the
// build (GRID-105).
func OpenPacked(softwareRoot string, sharedRoots []string) func(path string) (*os.Root, error) {
	return func(path string) (*os.Root, error) {
		for _, place := range append([]string{softwareRoot}, sharedRoots...) {
			name, err := filepath.Rel(place, path)
			if err != nil || !filepath.IsLocal(name) || name == "." {
				continue
			}
			directory, err := confined.OpenBelow(place, name)
			if err != nil {
				return nil, err
			}
			return directory.Root.Root, nil
		}
		return nil, fmt.Errorf("%s is neither in %s nor in shared_part_list", path, softwareRoot)
	}
}

// uploadsAtOnce bounds the memory of a pass that built many releases.
const uploadsAtOnce = 2

// uploads run beside the pass, which waits for them at its end.
type uploads struct {
	running sync.WaitGroup
	slots   chan struct{} // one per running push
}

// An upload is one release being uploaded to the cache.
type upload struct {
	url, directory string
	parts          []string // shared parts that it uses
	log            *slog.Logger
}

func newUploads() uploads { return uploads{slots: make(chan struct{}, uploadsAtOnce)} }

func (u *uploads) begin(ctx context.Context, o *Options, release upload) {
	u.running.Go(func() {
		if err := u.try(ctx, o, release); err != nil {
			release.log.Warn(fmt.Sprintf("Given up uploading %s: %v", release.url, err))
		}
	})
}

func (u *uploads) try(ctx context.Context, o *Options, release upload) error {
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
