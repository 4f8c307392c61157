// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"context"
	"log/slog"
	"time"

	"slapos/grid/pass"
	"slapos/grid/supervision"
)

// Options of [Pass]. Empty optional fields mean none, unless said otherwise.
type Options struct {
	Node pass.Node
	// Supervisor is what the supervisor's configuration, which the pass writes, is
	// made of.
	Supervisor supervision.Options

	// MinFreeSpace is in bytes; 0: the disk is not looked at (D-26). See
	// [pass.DefaultMinFreeSpace].
	MinFreeSpace   int64
	GarbageCollect bool
	// BuildoutNetworkCache are the options of section [networkcache] that
	// buildout is given, by name (GRID-32).
	BuildoutNetworkCache map[string]string
	// Cache holds built releases; nil: there is none.
	Cache Cache
	// Upload says that built releases go to the cache.
	Upload bool
	// Prefixes of URLs that are not fetched, not uploaded, and never built but
	// only fetched (NC-2).
	DownloadBlacklist, UploadBlacklist, DownloadForced []string
	// UploadTries and UploadDelay are how often an upload is tried, and the
	// wait after the first failure, which doubles each time (D-21). See
	// [DefaultUploadTries] and [DefaultUploadDelay].
	UploadTries int
	UploadDelay time.Duration
}

// What options are when their keys are absent (GRID-5). Nothing here fills them
// in: 0 is a value (D-26).
const (
	DefaultUploadTries = 3
	DefaultUploadDelay = 20 * time.Second
)

// A Cache keeps built releases. A release is a directory; its name and the
// cache's key are the md5 sum of its URL.
type Cache interface {
	// Fetch makes directory hold the release of url, and says false when the
	// cache has none that fits. Directory doesn't exist before, nor after a
	// failure: a release appears whole.
	Fetch(ctx context.Context, url, directory string, logger *slog.Logger) (found bool, err error)
	// Push stores the release of url and the shared parts that it uses, each a
	// directory. The file .completed is not part of it. Failing is no harm, and
	// one call is one attempt.
	Push(ctx context.Context, url, directory string, parts []string, logger *slog.Logger) error
}
