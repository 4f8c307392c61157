// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/networkcache/server"
)

// A cachePlace is where a cache server keeps things.
type cachePlace struct{ directory, contents, entries string }

func (p *cachePlace) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "directory", Destination: &p.directory, Usage: "`DIRECTORY` to keep everything in (required)"},
		&cli.StringFlag{Name: "contents", Destination: &p.contents, Usage: "`BUCKET` for the contents, as s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION"},
		&cli.StringFlag{Name: "entries", Destination: &p.entries, Usage: "`DATABASE` for the entries, as postgres://… or sqlite:PATH"},
	}
}

// openCacheStore opens the places that the options name, by default in the
// directory.
func (e *environment) openCacheStore(ctx context.Context, place cachePlace, store *server.Store) (err error) {
	if place.directory == "" {
		return argv.UsageErrorf("the following arguments are required: --directory")
	}
	directory := e.expandUser(place.directory)
	contents, entries := place.contents, place.entries
	if contents == "" {
		contents = filepath.Join(directory, "cache")
	}
	if entries == "" {
		entries = filepath.Join(directory, "dir")
	}
	if strings.HasPrefix(contents, "s3://") {
		err = os.MkdirAll(directory, 0o755)
	} else {
		err = errors.Join(os.MkdirAll(directory, 0o755), os.MkdirAll(contents, 0o755))
	}
	if err != nil {
		return fmt.Errorf("network cache: %w", err)
	}
	if store.Contents, err = server.OpenBlobs(ctx, contents, directory, e.bucketLogin()); err != nil {
		return err
	}
	store.Entries, err = server.OpenIndex(ctx, entries, filepath.Join(directory, "uploaders"))
	return err
}

// lockCache tells others that a server uses a directory, and calls alone before
// if none does yet.
func lockCache(directory string, alone func() error) (lock *os.File, err error) {
	lock, err = os.Open(directory)
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		err = alone()
	}
	if err == nil && syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil {
		err = fmt.Errorf("%s is being repaired by slapos cache check: wait for its end", directory)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}
