// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/grid/instance"
	"slapos/grid/pass"
	"slapos/slap/clock"
)

// A gridCommand is one of the passes of the node agent as a command. What they
// have in common is here: options, checks, pid file, exit code.
type gridCommand struct {
	name, usage, description string
	flags                    []cli.Flag
	// pidFileKey names the pid file in section [slapos]; pidFile is the default.
	pidFileKey, pidFile string
	// only names the option that limits the pass; may be empty.
	only string
	// prepare changes the options by the command's own flags; may be nil.
	prepare func(c *cli.Context, options *gridOptions) error
	// brief passes handle many small answers and are over soon: they collect
	// garbage less often.
	brief bool
	run   func(ctx context.Context, options *gridOptions) (pass.Result, error)
}

func (e *environment) newGridCommand(g gridCommand) *cli.Command {
	return &cli.Command{
		Name: g.name, Usage: g.usage, Description: g.description,
		Flags:  append(gridFlags(), g.flags...),
		Action: func(c *cli.Context) error { return e.runGrid(c, g) },
	}
}

// gridFlags are the options of all passes (GRID-1).
func gridFlags() []cli.Flag {
	text := func(name, usage string) cli.Flag { return &cli.StringFlag{Name: name, Usage: usage} }
	return []cli.Flag{
		configFlag(),
		text("instance-root", "`DIRECTORY` of partitions"),
		text("software-root", "`DIRECTORY` of software"),
		text("master-url", "`URL` of the master"),
		text("computer-id", "`REFERENCE` of this computer"),
		text("supervisord-socket", "accepted for compatibility"),
		text("supervisord-configuration-path", "accepted for compatibility"),
		text("buildout", "`SCRIPT` that bootstraps buildout"),
		text("pidfile", "`FILE` that says which process works, unless the configuration names one"),
		text("key_file", "`FILE` with the computer's key"),
		text("cert_file", "`FILE` with the computer's certificate"),
		text("signature_private_key_file", "`FILE` with the key that signs uploads to the network cache"),
		text("master_ca_file", "`FILE` with the authority of the master's certificate"),
		text("certificate_repository_path", "`DIRECTORY` of the partitions' keys and certificates"),
		argv.WholeFlag("maximum-periodicity", "`SECONDS` after which an unchanged partition is processed again (default: "+strconv.Itoa(instance.DefaultMaximumPeriodicity)+")", "", math.MinInt, math.MaxInt),
		argv.WholeFlag("promise-timeout", "`SECONDS` that a promise may take, 0 for no limit (default: 20)", "", 0, maxSeconds),
		argv.WholeFlag("partition-timeout", "`SECONDS` that deploying an instance may take, 0 for no limit (default: no limit)", "", 0, maxSeconds),
		argv.WholeFlag("jobs", "work on `N` items at once; 1 keeps the master's order (default: number of processors)", "", 1, maxJobs, "j"),
		&cli.BoolFlag{Name: "now", Usage: "begin at once, whatever maximal_delay says"},
		text("maximal_delay", "deprecated: wait up to `SECONDS` before"),
	}
}

// forceFlags are options of the passes that change things; only names the
// option that limits the pass.
func forceFlags(only, usage string) []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "buildout-debug", Usage: "let buildout use the terminal and stop in its debugger"},
		&cli.BoolFlag{Name: "force", Usage: "process what is up to date, too"},
		&cli.BoolFlag{Name: "all", Usage: "deprecated name of --force"},
		onlyFlag(only, usage),
	}
}

// prepareForce reads forceFlags.
func prepareForce(c *cli.Context, options *gridOptions) {
	options.Node.Force = options.Node.Force || c.Bool("force") || c.Bool("all")
	options.Node.BuildoutDebug = c.Bool("buildout-debug")
}

// onlyOption is what the option limits the pass to, or else the key in the file
// that is called alike.
func onlyOption(c *cli.Context, merged map[string]string, name string) []string {
	if name == "" {
		return nil
	}
	value := cmp.Or(c.String(name), merged[name], merged[strings.ReplaceAll(name, "-", "_")])
	if value == "" {
		return nil
	}
	return strings.Split(value, ",")
}

func onlyFlag(name, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, Aliases: []string{"only"}, Usage: usage}
}

// runGrid follows the order of GRID-6 and CLI-36.
func (e *environment) runGrid(c *cli.Context, g gridCommand) (err error) {
	if g.brief {
		debug.SetGCPercent(400)
	}
	if g.only != "" {
		if err := argv.Exclusive(c, "all", g.only); err != nil {
			return err
		}
	}
	configuration, err := e.nodeConfiguration(c.String("cfg"))
	if err != nil {
		return err
	}
	defer func() { err = placeValue(configuration, err, gridSections...) }()
	merged, err := mergeGridOptions(c, configuration)
	if err != nil {
		return err
	}
	if err := e.checkRoot(merged); err != nil {
		return err
	}
	if err := requireGridOptions(merged); err != nil {
		return err
	}
	if err := checkGridFiles(merged); err != nil {
		return err
	}
	options, err := e.gridOptions(merged, configuration)
	if err != nil {
		return err
	}
	defer options.Node.Master.Close()
	options.Node.Only = onlyOption(c, merged, g.only)
	if g.prepare != nil {
		if err := g.prepare(c, &options); err != nil {
			return err
		}
	}
	if err := e.delayGrid(c, merged); err != nil {
		return err
	}
	release, err := e.takePIDFile(merged, g)
	if err != nil {
		return err
	}
	defer release()
	// Masters see this of every node, first of all; no pass needs the answer (SLAP-40).
	_, _ = options.Node.Master.Hateoas(c.Context)
	result, err := g.run(c.Context, &options)
	if err == nil && result.ExitCode() != 0 {
		return &exitError{result.ExitCode(), nil} // told in the log
	}
	return err
}

// takePIDFile takes the file named by the command's key, else by pidfile, else
// the usual one (GRID-7).
func (e *environment) takePIDFile(merged map[string]string, g gridCommand) (release func(), err error) {
	path := g.pidFile
	for _, key := range []string{"pidfile", g.pidFileKey} {
		if merged[key] != "" {
			path = merged[key]
		}
	}
	held, err := pass.TakePIDFile(path, e.log)
	var running *pass.RunningError
	if errors.As(err, &running) {
		e.log.Info(err.Error())
		return nil, &exitError{pass.ExitRunning, nil}
	}
	if err != nil {
		return nil, &criticalError{err}
	}
	return held.Release, nil
}

// delayGrid spreads the work of many nodes over time (GRID-9).
func (e *environment) delayGrid(c *cli.Context, merged map[string]string) error {
	if c.Bool("now") {
		return nil
	}
	maximum, err := wholeOption(merged, "maximal_delay", 0)
	if err != nil && c.IsSet("maximal_delay") {
		return optionError(err, "maximal_delay")
	}
	if err != nil || maximum == 0 {
		return err
	}
	seconds := 1 + rand.IntN(maximum)
	e.log.Info(fmt.Sprintf("Sleeping for %d seconds. To disable this feature, check --now parameter in slapgrid help.", seconds))
	return clock.Pause(c.Context, time.Duration(seconds)*time.Second)
}

// mergedSections are those of GRID-4, the one that wins first.
var mergedSections = []string{"networkcache", "slapos"}

// gridSections are those that passes read keys with rules of.
var gridSections = []string{"networkcache", "slapos", "firewall"}

// mergeGridOptions puts section [networkcache] and what was given on the
// command line over section [slapos] (GRID-4).
func mergeGridOptions(c *cli.Context, configuration *pytext.Configuration) (map[string]string, error) {
	merged := map[string]string{}
	for _, name := range slices.Backward(mergedSections) {
		section, err := configuration.Section(name)
		if err != nil {
			return nil, err
		}
		maps.Copy(merged, section)
	}
	// These are true when given, and false else, whatever the file says.
	for _, name := range []string{"force", "force_stop", "now", "buildout_debug"} {
		delete(merged, name)
	}
	for _, f := range gridFlags() {
		name := f.Names()[0]
		if c.IsSet(name) && name != "cfg" && name != "now" {
			merged[strings.ReplaceAll(name, "-", "_")] = optionText(c, name)
		}
	}
	return merged, nil
}

// optionText is the value of an option as it would be written in the file.
func optionText(c *cli.Context, name string) string {
	if value, ok := c.Generic(name).(fmt.Stringer); ok {
		return value.String()
	}
	return c.String(name)
}

// requireGridOptions names what is missing, sorted (GRID-6).
func requireGridOptions(merged map[string]string) error {
	_, hasKey := merged["key_file"]
	_, hasCertificate := merged["cert_file"]
	names := []string{"computer_id", "instance_root", "master_url", "software_root"}
	if hasKey || hasCertificate {
		names = []string{"cert_file", "certificate_repository_path", "computer_id", "instance_root", "key_file", "master_url", "software_root"}
	}
	return requireOptions(merged, names...)
}

// checkGridFiles looks for the files that options name.
func checkGridFiles(merged map[string]string) error {
	signatureKey := "signature-private-key-file"
	if _, given := merged[signatureKey]; !given {
		signatureKey = "signature_private_key_file"
	}
	for _, name := range []string{
		"key_file", "cert_file", "master_ca_file",
		"shacache-ca-file", "shacache-cert-file", "shacache-key-file",
		"shadir-ca-file", "shadir-cert-file", "shadir-key-file", signatureKey,
	} {
		path := merged[name]
		if _, err := os.Stat(path); path != "" && err != nil {
			return sentencef("File '%s' does not exist.", path)
		}
	}
	path := merged["certificate_repository_path"]
	if info, err := os.Stat(path); path != "" && (err != nil || !info.IsDir()) {
		return sentencef("Directory '%s' does not exist", path)
	}
	return nil
}
