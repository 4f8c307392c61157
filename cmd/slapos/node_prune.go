// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"os"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/pytext"
	"slapos/grid/pass"
	"slapos/grid/prune"
)

type pruneOptions struct {
	configuration string
	dryRun        bool
	additional    cli.StringSlice
	json          bool
}

// pruned is what slapos node prune --json prints.
type pruned struct {
	SharedRoot string   `json:"shared-root"`
	DryRun     bool     `json:"dry-run"`
	Parts      []string `json:"parts"`
}

func (o *pruneOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration),
		&cli.BoolFlag{Name: "dry-run", Destination: &o.dryRun, Usage: "only show what would be removed"},
		&cli.StringSliceFlag{Name: "additional-software-directory", Destination: &o.additional, Usage: "software in `DIRECTORY` uses shared parts too (repeatable)"},
		jsonFlag(&o.json, "print an object: shared-root, dry-run, and parts that are removed, or would be"),
	}
}

func newNodePruneCommand(e *environment) *cli.Command {
	options := new(pruneOptions)
	return &cli.Command{
		Name:  "prune",
		Usage: "remove shared parts that no software uses",
		Description: `Looks through the last directory of shared_part_list and removes each part that
is used neither by the software of this node, nor by other shared parts, nor by
nodes that run inside partitions.

Exit codes: 0 done; 1 failed; 5 not root; 10 another slapos process runs;
255 no shared_part_list, or "slapos node software" is running.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runPrune(c.Context, e, *options)
		},
	}
}

// runPrune checks in the order of GRID-90.
func runPrune(ctx context.Context, e *environment, options pruneOptions) error {
	return e.withConfiguration(options.configuration, []string{"slapos"}, func(configuration *pytext.Configuration) error {
		return e.prune(ctx, configuration, options)
	})
}

func (e *environment) prune(ctx context.Context, configuration *pytext.Configuration, options pruneOptions) error {
	slapos, err := configuration.Section("slapos")
	if err != nil {
		return err
	}
	shared := lines(slapos["shared_part_list"])
	if len(shared) == 0 {
		return &exitError{code: 255, err: errors.New("No shared_part_list options in slapos config")}
	}
	if err := e.checkRoot(slapos); err != nil {
		return err
	}
	if err := requireOptions(slapos, "instance_root", "software_root"); err != nil {
		return err
	}
	if path := slapos["pidfile_software"]; path != "" {
		if _, err := os.Stat(path); err == nil && !options.dryRun {
			return &exitError{code: 255, err: errors.New("Cannot prune while software is running")}
		}
		pidFile, err := pass.TakePIDFile(path, e.log)
		var running *pass.RunningError
		if errors.As(err, &running) {
			return &exitError{code: 10, err: err}
		}
		if err != nil {
			return err
		}
		defer pidFile.Release()
	}
	told := pruned{SharedRoot: shared[len(shared)-1], DryRun: options.dryRun, Parts: []string{}}
	err = prune.Run(ctx, prune.Options{
		SharedRoot:         told.SharedRoot,
		SoftwareRoot:       slapos["software_root"],
		InstanceRoot:       slapos["instance_root"],
		AdditionalSoftware: options.additional.Value(),
		DryRun:             options.dryRun,
		ParseNested:        parseNestedNode,
		Logger:             e.log,
		Unused:             func(part string) { told.Parts = append(told.Parts, part) },
	})
	if options.json {
		err = errors.Join(err, e.printDocument(told)) // what was removed before an error, too
	}
	return err
}

// parseNestedNode reads the configuration of a node inside a partition.
func parseNestedNode(content []byte) (prune.NestedNode, error) {
	configuration, err := pytext.ParseConfiguration(nodeConfigurationFile, content)
	if err != nil {
		return prune.NestedNode{}, err
	}
	slapos, err := configuration.Section("slapos")
	if err != nil {
		return prune.NestedNode{}, err
	}
	if slapos["software_root"] == "" || slapos["instance_root"] == "" {
		return prune.NestedNode{}, errors.New("no software_root or no instance_root")
	}
	node := prune.NestedNode{SoftwareRoot: slapos["software_root"], InstanceRoot: slapos["instance_root"]}
	if shared := lines(slapos["shared_part_list"]); len(shared) > 0 {
		node.SharedRoot = shared[len(shared)-1]
	}
	return node, nil
}
