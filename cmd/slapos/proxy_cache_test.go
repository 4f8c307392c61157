// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/networkcache/server"
)

// TestOpenProxyCache goes through NC-70 and D-10.
func TestOpenProxyCache(t *testing.T) {
	folder := t.TempDir()
	path := func(name string) string { return filepath.Join(folder, name) }
	if err := os.Mkdir(path("content"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		settings map[string]string
		works    bool
		failure  string // in the error or in the log
	}{
		"nothing":       {settings: map[string]string{}},
		"directories":   {settings: map[string]string{"shacache_content_directory": path("content"), "shacache_metadata_directory": path("metadata")}, works: true},
		"a database":    {settings: map[string]string{"shacache_content_directory": path("content"), "shacache_metadata_directory": "sqlite:" + path("a.db")}, works: true},
		"one directory": {settings: map[string]string{"shacache_content_directory": path("content")}, failure: "shacache is disabled"},
		"old contents go": {settings: map[string]string{
			"shacache_content_directory": path("content"), "shacache_metadata_directory": path("metadata"), "shacache_max_age": "1d", "shacache_max_size": "1G",
		}, works: true},
		"the proxy's own file": {settings: map[string]string{
			"shacache_content_directory": path("content"), "shacache_metadata_directory": "sqlite:" + path("proxy.db"), "database_uri": path("proxy.db"),
		}, failure: "must be different files"},
		"a bad age": {settings: map[string]string{
			"shacache_content_directory": path("content"), "shacache_metadata_directory": path("metadata"), "shacache_max_age": "old",
		}, failure: "shacache_max_age must be a time such as 90d"},
		"a bucket that can't be reached": {settings: map[string]string{
			"shacache_content_directory": "s3://bucket?endpoint=http://127.0.0.1:1&region=us-east-1", "database_uri": path("proxy.db"),
		}, failure: "contents in s3://bucket"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			e := &environment{stdout: &log, stderr: &log, now: time.Now, getenv: func(name string) string {
				return map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}[name]
			}}
			e.log = slog.New(slog.NewTextHandler(&log, nil))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var cache server.Store
			end, err := e.openProxyCache(ctx, test.settings, &cache)
			told := log.String()
			if err != nil {
				told += err.Error()
			} else {
				defer end()
			}
			if !strings.Contains(told, test.failure) || test.failure == "" && err != nil {
				t.Errorf("told %s, want %s", told, test.failure)
			}
			if works := cache.Contents != nil && cache.Entries != nil; works != test.works && err == nil {
				t.Errorf("works: %v", works)
			}
			if test.works {
				if _, err := cache.Contents.Store(ctx, strings.NewReader("x"), ""); err != nil {
					t.Error(err)
				}
				if err := cache.Entries.Add(ctx, "key", []byte(`["{}",""]`), ""); err != nil {
					t.Error(err)
				}
				if _, err := cache.Entries.Read(ctx, "other"); !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
			}
		})
	}
}
