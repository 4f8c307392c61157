// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/collect"
	"slapos/manager/cgroup"
)

type collectOptions struct {
	configuration string
	textfile      string
	show          bool
	plot          string
	json          string
	since         time.Duration
	partitions    cli.StringSlice
}

func (o *collectOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration),
		&cli.StringFlag{Name: "textfile", Destination: &o.textfile, Usage: "also write metrics for node_exporter to `DIR`/" + collect.TextfileName},
		&cli.BoolFlag{Name: "show", Destination: &o.show, Usage: "print what each partition used"},
		&cli.StringFlag{Name: "plot", Destination: &o.plot, Usage: "draw what each partition used as `FILE`.svg or .png"},
		&cli.StringFlag{Name: "json", Destination: &o.json, Usage: "write the values of today, as in the csv files, to system_*.json in `DIR`"},
		argv.MeasureFlag(&o.since, "since", "how far --show and --plot look back: a `TIME` like 90m, 24h or 7d", "24h", "a time like 90m, 24h or 7d, ten years at most", parseSince),
		argv.Words(&o.partitions, "partition", "only these partitions, by user or reference `NAME`"),
	}
}

func newNodeCollectCommand(e *environment) *cli.Command {
	options := new(collectOptions)
	return &cli.Command{
		Name:  "collect",
		Usage: "collect and store what the system and its partitions use",
		Description: `Takes one sample of the machine and of the processes and folders of all
partitions, keeps it in var/data-log/collector.db below instance_root, and
writes csv files, archives, consumption reports and monitor files. Usually run
every minute.

With --show, --plot or --json, reads the database and collects nothing.

Exit codes: 0 done; 1 failed; 5 not root.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			for _, reading := range []string{"show", "plot", "json"} {
				if err := argv.Exclusive(c, "textfile", reading); err != nil {
					return err
				}
			}
			return runCollect(c.Context, e, *options)
		},
	}
}

// parseSince is [parseAge] of ten years at most.
func parseSince(text string) (time.Duration, bool) {
	const longest = 10 * 365 * 24 * time.Hour
	since, ok := parseAge(text)
	return since, ok && since <= longest
}

func runCollect(ctx context.Context, e *environment, options collectOptions) error {
	reading := options.show || options.plot != "" || options.json != ""
	if !reading {
		if err := e.requireRoot(); err != nil { // COL-1
			return err
		}
	}
	var settings *collect.Options
	err := e.withConfiguration(options.configuration, []string{"slapos", "slapformat", "collect"}, func(configuration *pytext.Configuration) (err error) {
		settings, err = e.collectSettings(configuration)
		return err
	})
	if err != nil {
		return err
	}
	if reading {
		return e.readCollected(ctx, settings, options)
	}
	settings.Textfile = options.textfile
	err = collect.New(*settings).Pass(ctx)
	if errors.Is(err, collect.ErrAccess) { // COL-2
		e.log.Error("You HAVE TO execute this script with root permission.", "error", err)
		return nil
	}
	return err
}

// collectSettings is COL-6.
func (e *environment) collectSettings(configuration *pytext.Configuration) (*collect.Options, error) {
	sections := map[string]map[string]string{}
	for _, name := range []string{"slapos", "slapformat", "collect"} {
		section, err := configuration.Section(name)
		if err != nil {
			return nil, err
		}
		sections[name] = section
	}
	slapos, slapformat, own := sections["slapos"], sections["slapformat"], sections["collect"]
	if err := requireOptions(slapos, "computer_id", "instance_root"); err != nil {
		return nil, err
	}
	if err := requireOptions(slapformat, "partition_amount", "partition_base_name", "user_base_name"); err != nil {
		return nil, err
	}
	root, err := filepath.Abs(slapos["instance_root"])
	if err != nil {
		return nil, err
	}
	settings := &collect.Options{
		ComputerID: slapos["computer_id"], InstanceRoot: root,
		Heating: collect.Heating{Model: slapformat["computer_model_id"], Sensor: slapformat["heating_sensor_id"]},
		Slice:   cgroup.Hierarchy{}.Slice,
		Logger:  e.log, Now: e.now,
	}
	if settings.KeepDays, err = wholeOption(slapos, "collect_cache", 15); err != nil {
		return nil, err
	}
	amount, err := wholeOption(slapformat, "partition_amount", 0)
	if err != nil {
		return nil, err
	}
	for i := range amount {
		settings.Partitions = append(settings.Partitions, collect.Partition{
			User: fmt.Sprint(slapformat["user_base_name"], i), Path: filepath.Join(root, fmt.Sprint(slapformat["partition_base_name"], i)),
		})
	}
	settings.Folders, err = folderSettings(own, root)
	settings.Sensors, _ = exec.LookPath("sensors") // COL-3
	settings.Counters = collect.CountersPath(root)
	return settings, err
}

func folderSettings(own map[string]string, root string) (collect.Folders, error) {
	folders := collect.Folders{
		Measure:      looseOption(own, "report_disk_usage", true, false), // any other text is no for the original
		PIDDirectory: filepath.Join(root, "var/run"),
	}
	if path, given := own["disk_snapshot_process_pid_foder"]; given {
		folders.PIDDirectory = filepath.Clean(path) // empty: where the command runs, as for the original
	}
	seconds, err := wholeOption(own, "disk_snapshot_time_cycle", 24*60*60)
	const century = 100 * 365 * 24 * 60 * 60
	folders.Cycle = time.Duration(min(max(seconds, 0), century)) * time.Second
	return folders, err
}
