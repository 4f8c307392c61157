// SPDX-License-Identifier: GPL-3.0-or-later

package prune

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"slapos/grid/parts"
	"slapos/slap/confined"
)

const (
	// nestedDepth bounds the search for nodes inside partitions: partitions
	// belong to others, who may nest directories without end.
	nestedDepth       = 128
	configurationName = "slapos.cfg"
)

// A nestedSearch follows nodes inside partitions, and nodes inside those. Their
// files belong to the partitions' users: it ignores errors in reading them.
type nestedSearch struct {
	search  *parts.Search
	options Options
	visited []visit // walked instance roots, each with everything below it
	// searched has software and parts: several configurations may name one directory.
	searched map[string]bool
}

// A visit is a walk with the rights of a user. Root's, of our own instance root, counts
// for all.
type visit struct {
	root string
	uid  int
}

// walk searches for slapos.cfg files below root and follows each.
func (n *nestedSearch) walk(ctx context.Context, root string, uid int) error {
	outermost := len(n.visited) == 0
	if n.options.ParseNested == nil || root == "" {
		return nil
	}
	opened, err := n.open(root, uid)
	if opened == nil {
		if outermost && !confined.IsAbsent(err) {
			return err // what can't be seen to be unused must stay
		}
		return nil
	}
	defer opened.Close()
	todo := []string{"."}
	for len(todo) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		directory := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		below, found := n.list(opened, directory)
		todo = append(todo, below...)
		if found {
			if err := n.follow(ctx, opened, filepath.Join(directory, configurationName)); err != nil {
				return err
			}
		}
	}
	return nil
}

// open opens an instance root, unless it lies in one that was searched.
func (n *nestedSearch) open(root string, uid int) (*confined.Directory, error) {
	root, err := resolve(root)
	if err != nil || n.covers(root, uid) {
		return nil, err
	}
	n.visited = append(n.visited, visit{root, uid})
	return confined.Open(root)
}

func (n *nestedSearch) covers(path string, uid int) bool {
	for _, v := range n.visited {
		root := v.root
		if v.uid != 0 && v.uid != uid {
			continue
		}
		if path == root || strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/") {
			return true
		}
	}
	return false
}

// list returns the subdirectories of a directory, and whether it has a
// slapos.cfg.
func (n *nestedSearch) list(root *confined.Directory, directory string) (below []string, found bool) {
	file, err := root.OpenFile(directory, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		n.options.Logger.Debug("Ignored directory", slog.String("directory", filepath.Join(root.Name(), directory)), slog.Any("error", err))
		return nil, false
	}
	defer file.Close()
	deepest := strings.Count(directory, "/") >= nestedDepth
	for {
		entries, err := file.ReadDir(1000)
		for _, entry := range entries {
			path := filepath.Join(directory, entry.Name())
			switch {
			case entry.Name() == configurationName:
				found = true
			case entry.IsDir() && !deepest && !isKernelInterface(filepath.Join(root.Name(), path)):
				below = append(below, path)
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				n.options.Logger.Debug("Ignored rest of directory", slog.String("directory", filepath.Join(root.Name(), directory)), slog.Any("error", err))
			}
			return below, found
		}
	}
}

func isKernelInterface(path string) bool { return path == "/proc" || path == "/sys" || path == "/dev" }

// follow reads a slapos.cfg and searches the directories of that node.
func (n *nestedSearch) follow(ctx context.Context, root *confined.Directory, path string) error {
	full := filepath.Join(root.Name(), path)
	log := n.options.Logger.With("configuration", full)
	log.Debug("Reading config at " + full)
	content, info, err := root.ReadFile(path)
	if err != nil {
		log.Debug("Ignored configuration", slog.Any("error", err))
		return nil
	}
	node, err := n.options.ParseNested(content)
	if err != nil {
		log.Debug("Ignored configuration", slog.Any("error", err))
		return nil
	}
	uid, _ := confined.Owner(info)
	return parts.As(uid, func() error { return n.followAs(ctx, node, uid, log) })
}

// followAs searches what a user names in its configuration, with that user's rights.
// What one can't see says nothing of what another sees in the same place.
func (n *nestedSearch) followAs(ctx context.Context, node NestedNode, uid int, log *slog.Logger) error {
	if n.first("software ", node.SoftwareRoot, uid) {
		if err := n.search.Software(ctx, node.SoftwareRoot); err != nil {
			log.Debug("Ignored software", slog.Any("error", err))
		}
	}
	if n.first("shared ", node.SharedRoot, uid) {
		parts, err := parts.List(node.SharedRoot)
		for _, part := range parts {
			err = errors.Join(err, n.search.Signatures(part))
		}
		if err != nil {
			log.Debug("Ignored shared parts", slog.Any("error", err))
		}
	}
	return n.walk(ctx, node.InstanceRoot, uid)
}

// first reports whether a directory exists and was not searched before. Our own
// shared parts count as searched: Run looks at their signatures.
func (n *nestedSearch) first(kind, directory string, uid int) bool {
	if n.searched == nil {
		n.searched = map[string]bool{}
		if ours, err := resolve(n.options.SharedRoot); err == nil {
			n.searched["shared "+ours] = true
		}
	}
	resolved, err := resolve(directory)
	place := fmt.Sprint(kind, uid, resolved)
	if directory == "" || err != nil || n.searched[kind+resolved] || n.searched[place] {
		return false
	}
	n.searched[place] = true
	return true
}

// resolve returns the canonical path of a directory.
func resolve(directory string) (string, error) {
	directory, err := filepath.Abs(directory)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(directory)
}
