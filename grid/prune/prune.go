// SPDX-License-Identifier: GPL-3.0-or-later

// Package prune removes the shared parts that nothing uses any more.
package prune

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"slapos/grid/parts"
	"slapos/slap/confined"
)

// Options say where shared parts are and who may use them.
type Options struct {
	SharedRoot         string // holds <name>/<hash> directories
	SoftwareRoot       string
	InstanceRoot       string   // searched for nodes inside partitions
	AdditionalSoftware []string // further directories like SoftwareRoot
	DryRun             bool     // list what would be removed, remove nothing
	// ParseNested reads the slapos.cfg of a node inside a partition. A file for
	// which it fails is ignored. If nil, there are no such nodes.
	ParseNested func(content []byte) (NestedNode, error)
	Logger      *slog.Logger
	// Unused is called for each part that is, or would be, removed; may be nil.
	Unused func(part string)
}

func (o Options) tell(part string) {
	if o.Unused != nil {
		o.Unused(part)
	}
}

// A NestedNode is a node inside one of our partitions, which may use our shared
// parts.
type NestedNode struct {
	SoftwareRoot, InstanceRoot string
	SharedRoot                 string // empty: none
}

// Run removes the shared parts that no software, no remaining shared part
// and no nested node mentions (GRID-91, GRID-92).
func Run(ctx context.Context, options Options) error {
	options.Logger.Warn("Pruning shared directories at " + options.SharedRoot)
	candidates, err := parts.List(options.SharedRoot)
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	used := parts.NewSearch(candidates, options.Logger)
	if err := searchOuterSoftware(ctx, options, used); err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	nested := nestedSearch{search: used, options: options}
	if err := nested.walk(ctx, options.InstanceRoot, 0); err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	mentions := map[string]*parts.Search{}
	err = parts.AsOwner(options.SharedRoot, func() error {
		for _, part := range candidates {
			mentions[part] = parts.NewSearch(candidates, options.Logger)
			if err := mentions[part].Signatures(part); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	for {
		unused := unusedParts(candidates, used, mentions)
		if len(unused) == 0 {
			return nil
		}
		for _, part := range unused {
			if err := prunePart(ctx, options, part); err != nil {
				return fmt.Errorf("prune: %w", err)
			}
			delete(mentions, part)
		}
	}
}

func prunePart(ctx context.Context, options Options, part string) error {
	if options.DryRun {
		options.Logger.Warn("Unused shared parts at " + part)
		options.tell(part)
		return ctx.Err()
	}
	name, err := filepath.Rel(options.SharedRoot, part)
	if err != nil {
		return err
	}
	if err := confined.RemoveBelow(ctx, options.SharedRoot, name); err != nil {
		return err
	}
	options.Logger.Warn("Unused shared parts at " + part + " ... removed")
	options.tell(part)
	return nil
}

// unusedParts returns the candidates that remain (those in mentions) and that
// nothing which remains mentions. A part's own signature counts, as in the
// original.
func unusedParts(candidates []string, used *parts.Search, mentions map[string]*parts.Search) []string {
	var unused []string
	for _, part := range candidates {
		if _, remains := mentions[part]; !remains {
			continue
		}
		hash := filepath.Base(part)
		found := used.Found[hash]
		for _, mentioned := range mentions {
			found = found || mentioned.Found[hash]
		}
		if !found {
			unused = append(unused, part)
		}
	}
	return unused
}

// searchOuterSoftware searches the node's own software. It fails if it can't
// read something: what can't be seen to be unused must stay.
func searchOuterSoftware(ctx context.Context, options Options, used *parts.Search) error {
	directories := []string{options.SoftwareRoot}
	for _, directory := range options.AdditionalSoftware {
		if _, err := os.Stat(directory); errors.Is(err, os.ErrNotExist) {
			options.Logger.Warn("Additional software directory does not exist: " + directory)
			continue
		}
		directories = append(directories, directory)
	}
	for _, directory := range directories {
		err := parts.AsOwner(directory, func() error { return used.Software(ctx, directory) })
		if err != nil {
			return err
		}
	}
	return nil
}
