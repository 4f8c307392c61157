// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"slapos/networkcache/server"
)

// openProxyCache opens the cache of the proxy, in places that have the names of
// the original's directories (NC-70), and removes old entries until end is
// called. A bucket needs no second name: its entries go to the proxy's
// database. With SQLite they go to a file beside it, since programs refuse a
// file with tables of others (PROXY-22).
func (e *environment) openProxyCache(ctx context.Context, settings map[string]string, cache *server.Store) (end func(), err error) {
	contents, entries := settings["shacache_content_directory"], settings["shacache_metadata_directory"]
	isBucket := strings.HasPrefix(contents, "s3://")
	if isBucket && entries == "" {
		if entries = settings["database_uri"]; !server.IsDatabase(entries) {
			entries = "sqlite:" + entries + ".shadir"
		}
	}
	if entries == "sqlite:"+settings["database_uri"] {
		return nil, errors.New("shacache_metadata_directory and database_uri must be different files")
	}
	if contents == "" || entries == "" {
		if contents != entries {
			e.log.Warn("shacache is disabled: it needs both shacache_content_directory and shacache_metadata_directory")
		}
		return func() {}, nil
	}
	*cache = server.Store{Logger: e.log, Now: e.now}
	if cache.MaximumAge, err = ageOption(settings, "shacache_max_age"); err != nil {
		return nil, err
	}
	if cache.MaximumSize, err = byteSizeOption(settings, "shacache_max_size"); err != nil {
		return nil, err
	}
	scratch := settings["shacache_temporary_directory"]
	if scratch == "" {
		scratch = os.TempDir()
	}
	if cache.Contents, err = server.OpenBlobs(ctx, contents, scratch, e.bucketLogin()); err != nil {
		return nil, err
	}
	if cache.Entries, err = server.OpenIndex(ctx, entries, ""); err != nil {
		return nil, err
	}
	if cache.MaximumAge == 0 && cache.MaximumSize == 0 {
		return func() { cache.Entries.Close() }, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cache.CollectEvery(ctx, time.Hour, nil)
	}()
	return func() {
		cancel()
		<-ended
		cache.Entries.Close()
	}, nil
}
