// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"slapos/networkcache"
)

// A Check compares a store with itself.
type Check struct {
	Store *Store
	// Repair removes contents that are wrong, entries without content, lists
	// that can't be read and what killed servers left. No server may use the
	// store meanwhile, unless it shares a bucket and a database.
	Repair bool
	// RemoveOrphans removes contents without entry that are older than a day:
	// an upload sends the content first.
	RemoveOrphans bool
	// Report is called with a line for each finding.
	Report func(line string)

	contents map[string]bool // which are here and right
	found    Found
}

// Found are the numbers of a check.
type Found struct {
	Contents int
	Bytes    int64
	Problems int // those that a repair removes
	Failures int // contents that can't be read; they stay
	Orphans  int
}

// Run reads all contents and entries (NC-103). Uses are not recorded.
func (c *Check) Run(ctx context.Context) (Found, error) {
	c.Store.Complete()
	c.contents = map[string]bool{}
	for _, step := range []func(context.Context) error{c.left, c.checkContents, c.checkEntries} {
		if err := step(ctx); err != nil {
			return c.found, err
		}
	}
	return c.found, nil
}

// problem reports what a repair removes.
func (c *Check) problem(repair func() error, format string, values ...any) error {
	c.found.Problems++
	c.Report(fmt.Sprintf(format, values...))
	if !c.Repair {
		return nil
	}
	return repair()
}

// left finds temporary files.
func (c *Check) left(context.Context) error {
	for _, path := range c.Store.temporaries() {
		if err := c.problem(func() error { return os.Remove(path) }, "%s: left by an upload that didn't end", path); err != nil {
			return err
		}
	}
	return nil
}

func (c *Check) checkContents(ctx context.Context) error {
	all, err := c.Store.Contents.List(ctx)
	if err != nil {
		return err
	}
	for _, blob := range all {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.found.Contents++
		c.found.Bytes += blob.Size
		sum, err := c.sum(ctx, blob.Sum)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			c.found.Failures++
			c.contents[blob.Sum] = true
			c.Report(fmt.Sprintf("content %s: can't be read: %v", blob.Sum, err))
		case sum != blob.Sum:
			err := c.problem(func() error { return c.Store.Contents.Remove(ctx, blob.Sum) }, "content %s: is damaged, its sum is %s", blob.Sum, sum)
			if err != nil {
				return err
			}
		default:
			c.contents[blob.Sum] = true
		}
	}
	return c.orphans(ctx, all)
}

// sum is that of what is kept under another one.
func (c *Check) sum(ctx context.Context, name string) (string, error) {
	content, err := c.Store.Contents.Peek(ctx, name)
	if err != nil {
		return "", err
	}
	defer content.Close()
	stop := context.AfterFunc(ctx, func() { content.Close() })
	defer stop()
	hash := sha512.New()
	if _, err := io.Copy(hash, content); err != nil {
		return "", errors.Join(ctx.Err(), err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// orphans finds right contents without entry.
func (c *Check) orphans(ctx context.Context, all []Blob) error {
	used := map[string]bool{}
	keys, err := c.Store.Entries.Keys(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		for _, entry := range readEntries(ctx, c.Store, key) {
			used[entry.SHA512()] = true
		}
	}
	for _, blob := range all {
		if used[blob.Sum] || !c.contents[blob.Sum] {
			continue
		}
		c.found.Orphans++
		if c.RemoveOrphans && c.Store.Now().Sub(blob.newness()) > 24*time.Hour {
			c.Report(fmt.Sprintf("content %s: no entry leads to it; removed", blob.Sum))
			if err := c.Store.Contents.Remove(ctx, blob.Sum); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkEntries finds entries without content, unless that may be elsewhere, and
// lists that can't be read.
func (c *Check) checkEntries(ctx context.Context) error {
	keys, err := c.Store.Entries.Keys(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := c.checkKey(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

func (c *Check) checkKey(ctx context.Context, key string) error {
	text, err := c.Store.Entries.Read(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	list, err := parseList(text)
	if err != nil {
		return c.problem(func() error { return c.Store.Entries.Remove(ctx, key) }, "key %q: can't be read: %v", key, err)
	}
	good := filtered(list, c.isGood)
	if len(good) == len(list) && len(list) > 0 {
		return nil
	}
	what := fmt.Sprintf("%d of %d entries lead to no content here", len(list)-len(good), len(list))
	if len(list) == 0 {
		what = "has no entries"
	}
	return c.problem(func() error {
		_, err := c.Store.Entries.Filter(ctx, key, c.isGood)
		return err
	}, "key %q: %s", key, what)
}

func (c *Check) isGood(entry networkcache.Entry) bool {
	return c.Store.Partial || c.contents[entry.SHA512()]
}

// temporaries are the files of uploads that haven't ended. Contents that another
// cache has begun to send are not among them: they are continued.
func (s *Store) temporaries() (paths []string) {
	places := map[string]string{s.Contents.Scratch(): temporaryPrefix}
	if files, isFiles := s.Entries.(*Files); isFiles {
		places[files.Path] = newPrefix
		if files.Uploaders != "" {
			places[files.Uploaders] = newPrefix
		}
	}
	for directory, prefix := range places {
		entries, err := os.ReadDir(directory)
		if err != nil {
			continue // not made yet
		}
		for _, entry := range entries {
			if entry.Type().IsRegular() && strings.HasPrefix(entry.Name(), prefix) {
				paths = append(paths, filepath.Join(directory, entry.Name()))
			}
		}
	}
	return paths
}

// RemoveLeft removes the temporary files that a killed server left. No server
// may use the store's directories meanwhile.
func (s *Store) RemoveLeft() error {
	var failed error
	for _, path := range s.temporaries() {
		failed = errors.Join(failed, os.Remove(path))
	}
	return failed
}
