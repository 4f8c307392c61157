// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"context"
	"log/slog"
	"time"

	"slapos/grid/pass"
	"slapos/grid/supervision"
)

// Options configure [Pass]. Empty optional fields mean none, unless said otherwise.
type Options struct {
	Node pass.Node
	// Supervisor has the options of the supervisor's configuration, which the
	// pass writes.
	Supervisor supervision.Options

	// MinFreeSpace is in bytes; 0 means no check (D-26). See
	// [pass.DefaultMinFreeSpace].
	MinFreeSpace   int64
	GarbageCollect bool
	// BuildoutNetworkCache has the options of section [networkcache] for
	// buildout, by name (GRID-32).
	BuildoutNetworkCache map[string]string
	// Cache holds built releases; nil: there is none.
	Cache Cache
	// Upload uploads built releases to the cache.
	Upload bool
	// Prefixes of URLs that are not fetched, that are not uploaded, and that
	// are only fetched, never built (NC-2).
	DownloadBlacklist, UploadBlacklist, DownloadForced []string
	// UploadTries is how often an upload is tried. UploadDelay is the wait
	// after the first failure, which doubles each time (D-21). See
	// [DefaultUploadTries] and [DefaultUploadDelay].
	UploadTries int
	UploadDelay time.Duration
}

// Defaults for absent keys (GRID-5). This package doesn't fill them in: 0 is a
// value (D-26).
const (
	DefaultUploadTries = 3
	DefaultUploadDelay = 20 * time.Second
)

// A Cache stores built releases. A release is a directory, named, like its key
// in the cache, by the md5 sum of its URL.
type Cache interface {
	// Fetch makes directory hold the release of url. It returns false if the
	// cache has none that fits. directory doesn't exist before, nor after a
	// failure: a release appears whole.
	Fetch(ctx context.Context, url, directory string, logger *slog.Logger) (found bool, err error)
	// Push stores the release of url and the shared parts that it uses, each a
	// directory, without the file .completed. One call is one attempt. A
	// failure does no harm.
	Push(ctx context.Context, url, directory string, parts []string, logger *slog.Logger) error
}
