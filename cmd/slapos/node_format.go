// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/format"
	"slapos/grid/boot"
	"slapos/slap"
	"slapos/slap/clock"
)

// The command's own options; the others are options of the configuration file
// under the same name (FMT-1).
type formatOptions struct {
	configuration     string
	now, dryRun, json bool
	replacing         []cli.Flag
	given             map[string]string // values of the command line by the names of the keys that they replace
}

func (o *formatOptions) flags() []cli.Flag {
	o.replacing = []cli.Flag{
		&cli.StringFlag{Name: "computer_xml", Aliases: []string{"x"}, Usage: "`FILE` with the computer's description, made if it does not exist"},
		&cli.StringFlag{Name: "computer_json", Usage: "`FILE` for the same as JSON (for development)"},
		&cli.StringFlag{Name: "input_definition_file", Aliases: []string{"i"}, Usage: "take partitions from a definition `FILE` instead of looking at the machine"},
		&cli.StringFlag{Name: "output_definition_file", Aliases: []string{"o"}, Usage: "write a definition `FILE` of the computer"},
		argv.ChoiceFlag(new(string), "alter_user", "make and change users (default: True)", "", "True", "False"),
		argv.ChoiceFlag(new(string), "alter_network", "make and change interfaces, addresses and routes (default: True)", "", "True", "False"),
	}
	return append([]cli.Flag{
		configFlag(&o.configuration),
		&cli.BoolFlag{Name: "now", Destination: &o.now, Usage: "start at once, not after a random delay of up to an hour"},
		&cli.BoolFlag{Name: "dry_run", Aliases: []string{"n"}, Destination: &o.dryRun, Usage: "print what would be changed, and change nothing"},
		&cli.BoolFlag{Name: "json", Destination: &o.json, Usage: "print the plan of --dry_run as JSON"},
		&cli.StringFlag{Name: "console", Aliases: []string{"c"}, Usage: "obsolete, no effect"},
	}, o.replacing...)
}

func newNodeFormatCommand(e *environment) *cli.Command {
	options := new(formatOptions)
	return &cli.Command{
		Name:  "format",
		Usage: "create users, partitions and network configuration",
		Description: `Prepares this computer for its partitions and tells the master about it.
Changes only what is not yet as it should be. With --dry_run, prints the plan,
one equivalent command per line, and changes nothing.

Exit codes: 0 done; 1 failed; 2 done and saved, but the master was not told;
5 not root.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.given = replacingKeys(c, options.replacing)
			return runNodeFormat(c.Context, e, *options)
		},
	}
}

func runNodeFormat(ctx context.Context, e *environment, options formatOptions) error {
	debug.SetGCPercent(800) // it is over in milliseconds, half of which collecting would take
	return e.withConfiguration(options.configuration, []string{"slapos", "slapformat"}, func(configuration *pytext.Configuration) error {
		return e.format(ctx, configuration, options)
	})
}

func (e *environment) format(ctx context.Context, configuration *pytext.Configuration, options formatOptions) error {
	merged, err := formatSettings(configuration, options.given)
	if err != nil {
		return err
	}
	if err := e.checkRoot(merged); err != nil {
		return err
	}
	if path := merged["log_file"]; path != "" && e.global.logFile == "" { // FMT-5
		if err := e.addLogFile(path); err != nil {
			return err
		}
	}
	run, err := e.readFormatOptions(merged, options.dryRun)
	var usage *formatUsageError
	if errors.As(err, &usage) {
		if origin := originOf(configuration, usage.key, "slapos", "slapformat"); origin != "" {
			usage.text += origin
		} else if usage.key != "" {
			usage.text += " Set it in section [slapos] or [slapformat] of " + configuration.Path() + "."
		}
		e.log.Error(usage.text)
		fmt.Fprintf(e.stderr, "%s\nFor help use --help\n", usage.text)
		return &exitError{code: 1}
	}
	if err != nil {
		return err
	}
	if !options.now && !options.dryRun {
		if err := e.delayFormat(ctx); err != nil {
			return err
		}
	}
	run.Post = e.postComputer(merged, masterOrigin(configuration, merged["master_url"]))
	result, err := format.Run(ctx, *run)
	if options.dryRun && result.Computer != nil {
		show := e.printPlan
		if options.json {
			show = e.printPlanJSON
		}
		if err := show(result.Plan); err != nil {
			return err
		}
	}
	return e.reportFormat(ctx, run, err)
}

// formatSettings merges the two sections and the command line (FMT-1).
func formatSettings(configuration *pytext.Configuration, given map[string]string) (map[string]string, error) {
	var err error
	merged := map[string]string{}
	for _, name := range []string{"slapformat", "slapos"} {
		if !configuration.Has(name) {
			return nil, fmt.Errorf("%s: there is no section [%s]", configuration.Path(), name)
		}
		section, err := configuration.Section(name)
		if err != nil {
			return nil, err
		}
		maps.Copy(merged, section)
	}
	maps.Copy(merged, given)
	for _, name := range []string{"computer_xml", "input_definition_file", "output_definition_file"} {
		if merged[name] != "" { // FMT-12
			if merged[name], err = filepath.Abs(merged[name]); err != nil {
				return nil, err
			}
		}
	}
	return merged, nil
}

// delayFormat spreads the load of many nodes with the same clock on a master
// (FMT-4).
func (e *environment) delayFormat(ctx context.Context) error {
	delay := time.Duration(rand.Float64() * float64(time.Hour))
	e.log.Info(fmt.Sprintf("Sleeping for %v seconds. To disable this feature, use with --now parameter in manual.", delay.Seconds()))
	return clock.Pause(ctx, delay)
}

func (e *environment) printPlanJSON(plan format.Plan) error {
	if plan == nil {
		plan = format.Plan{} // "[]"
	}
	return e.printDocument(plan)
}

func (e *environment) printPlan(plan format.Plan) error {
	for _, step := range plan {
		if _, err := fmt.Fprintln(e.stdout, step); err != nil {
			return err
		}
	}
	if len(plan) == 0 {
		e.log.Info("Nothing would be changed.")
	}
	return nil
}

// reportFormat reports the result, by exit code and in the original's words
// (FMT-15 to FMT-17).
func (e *environment) reportFormat(ctx context.Context, run *format.Options, err error) error {
	const prepared = "slapos successfully prepared the computer."
	var post *format.PostError
	switch {
	case err != nil && ctx.Err() != nil: // interrupted, the next run does the rest
		return ctx.Err()
	case errors.As(err, &post):
		e.log.Info(prepared)
		e.log.Error(fmt.Sprintf("failed to transfer information to '%s'", run.MasterURL), "error", post.Err)
		return &exitError{code: 2}
	case errors.Is(err, format.ErrFewerPartitions):
		return &criticalError{err}
	case err != nil:
		e.log.Error("slapos failed to prepare the computer.", "error", err)
		return errors.Join(&exitError{code: 1}, partlyOf(err)) // the latter is for node boot
	case !run.DryRun:
		e.log.Info(prepared)
	}
	return nil
}

// partlyOf is what keeps some partitions from being ready, if all else is done and the
// master was told; or nil.
func partlyOf(err error) error {
	var some *format.PartitionsError
	if errors.As(err, &some) && some.Post == nil {
		return &boot.PartlyError{Err: some}
	}
	return nil
}

// postComputer makes the function that informs the master. Problems with
// certificates surface there, after the work is done.
func (e *environment) postComputer(merged map[string]string, origin string) func(context.Context, slap.Dict) error {
	options := maps.Clone(merged)
	if options["key_file"] == "" || options["cert_file"] == "" { // FMT-86
		delete(options, "key_file")
		delete(options, "cert_file")
	}
	return func(ctx context.Context, computer slap.Dict) error {
		master, err := e.openNodeMaster(options, origin)
		if err != nil {
			return err
		}
		defer func() { _ = master.Close() }()
		_, err = master.LoadComputerConfiguration(ctx, computer)
		return err
	}
}

// formatProgress shows a bar on a terminal while much is changed (D-15).
func (e *environment) formatProgress() func(done, total int) {
	if !isTerminal(e.stderr) || e.global.quiet || e.global.verbose > 0 {
		return nil
	}
	var bar *progressbar.ProgressBar
	return func(done, total int) {
		if total < 20 {
			return
		}
		if bar == nil || bar.GetMax() != total {
			bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(e.stderr), progressbar.OptionSetDescription("format"), progressbar.OptionClearOnFinish())
		}
		_ = bar.Set(done) // a bar that can't be drawn doesn't matter
	}
}
