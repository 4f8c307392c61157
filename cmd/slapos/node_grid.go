// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	"slapos/cmd/slapos/terminal"
	"slapos/grid/instance"
	"slapos/grid/pass"
	"slapos/slap/clock"
)

// A gridCommand is a pass of the node agent as a command. Here is what all
// passes have in common: options, checks, pid file, exit code.
type gridCommand struct {
	name, usage, description string
	options                  *passOptions
	flags                    []cli.Flag
	// pidFileKey names the pid file in section [slapos]; pidFile is the default.
	pidFileKey, pidFile string
	// prepare changes the options by the command's own; may be nil.
	prepare func(options *gridOptions) error
	// brief passes end soon and handle many small answers: they collect garbage
	// less often.
	brief bool
	run   func(ctx context.Context, options *gridOptions) (pass.Result, error)
}

func (e *environment) newGridCommand(g gridCommand) *cli.Command {
	return &cli.Command{
		Name: g.name, Usage: g.usage, Description: g.description,
		Flags: g.flags,
		Action: func(c *cli.Context) error {
			if err := g.options.read(c); err != nil {
				return err
			}
			return e.runGrid(c.Context, g)
		},
	}
}

// passOptions are the options of all passes (GRID-1).
type passOptions struct {
	configuration string
	now           bool
	onlyName      string // the option that limits the pass; "" for none
	only          string // its value: names, comma-separated
	replacing     []cli.Flag
	given         map[string]string // values of the command line by the names of the keys that they replace
}

func (o *passOptions) flags() []cli.Flag {
	text := func(name, usage string) cli.Flag { return &cli.StringFlag{Name: name, Usage: usage} }
	whole := func(name, usage string, least, most int, aliases ...string) cli.Flag {
		return argv.WholeFlag(new(int), name, usage, "", least, most, aliases...)
	}
	o.replacing = []cli.Flag{
		text("instance-root", "`DIRECTORY` of partitions"),
		text("software-root", "`DIRECTORY` of software"),
		text("master-url", "`URL` of the master"),
		text("computer-id", "`REFERENCE` of this computer"),
		text("supervisord-socket", "accepted for compatibility"),
		text("supervisord-configuration-path", "accepted for compatibility"),
		text("buildout", "`SCRIPT` that bootstraps buildout"),
		text("pidfile", "pid `FILE`, unless the configuration names one"),
		text("key_file", "`FILE` with the computer's key"),
		text("cert_file", "`FILE` with the computer's certificate"),
		text("signature_private_key_file", "`FILE` with the key that signs uploads to the network cache"),
		text("master_ca_file", "`FILE` with the authority of the master's certificate"),
		text("certificate_repository_path", "`DIRECTORY` of the partitions' keys and certificates"),
		whole("maximum-periodicity", "`SECONDS` after which an unchanged partition is processed again (default: "+strconv.Itoa(instance.DefaultMaximumPeriodicity)+")", math.MinInt, math.MaxInt),
		whole("promise-timeout", "`SECONDS` that a promise may take, 0 for no limit (default: 20)", 0, maxSeconds),
		whole("partition-timeout", "`SECONDS` that deploying an instance may take, 0 for no limit (default: no limit)", 0, maxSeconds),
		whole("jobs", "work on `N` items at once; 1 keeps the master's order (default: number of processors)", 1, maxJobs, "j"),
		text("maximal_delay", "deprecated: first wait up to `SECONDS`"),
	}
	last := len(o.replacing) - 1
	return slices.Concat(
		[]cli.Flag{configFlag(&o.configuration)},
		o.replacing[:last],
		[]cli.Flag{&cli.BoolFlag{Name: "now", Destination: &o.now, Usage: "start at once, whatever maximal_delay says"}},
		o.replacing[last:],
	)
}

// onlyFlag limits a pass to what it names.
func (o *passOptions) onlyFlag(name, usage string) cli.Flag {
	o.onlyName = name
	return &cli.StringFlag{Name: name, Aliases: []string{"only"}, Destination: &o.only, Usage: usage}
}

// read takes the values that the command line gives.
func (o *passOptions) read(c *cli.Context) error {
	o.given = replacingKeys(c, o.replacing)
	if o.onlyName == "" {
		return nil
	}
	return argv.Exclusive(c, "all", o.onlyName)
}

// limits is what the option limits the pass to, or else the key in the file that
// has its name.
func (o *passOptions) limits(merged map[string]string) []string {
	if o.onlyName == "" {
		return nil
	}
	value := cmp.Or(o.only, merged[o.onlyName], merged[strings.ReplaceAll(o.onlyName, "-", "_")])
	if value == "" {
		return nil
	}
	return strings.Split(value, ",")
}

// forceOptions are those of the passes that change things.
type forceOptions struct{ buildoutDebug, force, all bool }

func (o *forceOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "buildout-debug", Destination: &o.buildoutDebug, Usage: "let buildout use the terminal and stop in its debugger"},
		&cli.BoolFlag{Name: "force", Destination: &o.force, Usage: "also process what is up to date"},
		&cli.BoolFlag{Name: "all", Destination: &o.all, Usage: "deprecated name of --force"},
	}
}

func (o *forceOptions) apply(options *gridOptions) {
	options.Node.Force = options.Node.Force || o.force || o.all
	options.Node.BuildoutDebug = o.buildoutDebug
}

// runGrid follows the order of GRID-6 and CLI-36.
func (e *environment) runGrid(ctx context.Context, g gridCommand) error {
	if g.brief {
		debug.SetGCPercent(400)
	}
	return e.withConfiguration(g.options.configuration, gridSections, func(configuration *pytext.Configuration) error {
		return e.runPass(ctx, g, configuration)
	})
}

func (e *environment) runPass(ctx context.Context, g gridCommand, configuration *pytext.Configuration) error {
	merged, err := mergeGridOptions(g.options.given, configuration)
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
	options.Node.Only = g.options.limits(merged)
	if g.prepare != nil {
		if err := g.prepare(&options); err != nil {
			return err
		}
	}
	if err := e.delayGrid(ctx, g.options, merged); err != nil {
		return err
	}
	release, err := e.takePIDFile(merged, g)
	if err != nil {
		return err
	}
	defer release()
	// Masters expect this first from every node; no pass needs the answer
	// (SLAP-40).
	_, _ = options.Node.Master.Hateoas(ctx)
	result, err := g.run(ctx, &options)
	if err == nil && result.ExitCode() != 0 {
		return &exitError{code: result.ExitCode()} // told in the log
	}
	return err
}

// The pid files of the passes: the keys that name them in section [slapos], and where
// they are else.
const (
	softwarePIDKey, softwarePIDFile = "pidfile_software", "/opt/slapos/slapgrid-sr.pid"
	instancePIDKey, instancePIDFile = "pidfile_instance", "/opt/slapos/slapgrid-cp.pid"
	reportPIDKey, reportPIDFile     = "pidfile_report", "/opt/slapos/slapgrid-ur.pid"
)

// pidFileOf is the path that a key names, or else pidfile, or else the usual one.
func pidFileOf(merged map[string]string, key, usual string) string {
	return cmp.Or(merged[key], merged["pidfile"], usual)
}

// takePIDFile locks the pid file that the command's key names, or else pidfile,
// or else the usual one (GRID-7).
func (e *environment) takePIDFile(merged map[string]string, g gridCommand) (release func(), err error) {
	held, err := pass.TakePIDFile(pidFileOf(merged, g.pidFileKey, g.pidFile), e.log)
	var running *pass.RunningError
	if errors.As(err, &running) {
		e.log.Info(err.Error())
		return nil, &exitError{code: pass.ExitRunning}
	}
	if err != nil {
		return nil, &criticalError{err}
	}
	return held.Release, nil
}

// delayGrid spreads the work of many nodes over time (GRID-9).
func (e *environment) delayGrid(ctx context.Context, options *passOptions, merged map[string]string) error {
	if options.now {
		return nil
	}
	maximum, err := wholeOption(merged, "maximal_delay", 0)
	if _, given := options.given["maximal_delay"]; given && err != nil {
		return optionError(err, "maximal_delay")
	}
	if err != nil || maximum == 0 {
		return err
	}
	seconds := 1 + rand.IntN(maximum)
	e.log.Info(fmt.Sprintf("Sleeping for %d seconds. To disable this feature, check --now parameter in slapgrid help.", seconds))
	return clock.Pause(ctx, time.Duration(seconds)*time.Second)
}

// mergedSections are those of GRID-4, the winner first.
var mergedSections = []string{"networkcache", "slapos"}

// gridSections are the sections with keyRules that passes read.
var gridSections = []string{"networkcache", "slapos", "firewall"}

// mergeGridOptions puts section [networkcache] and what was given on the
// command line over section [slapos] (GRID-4).
func mergeGridOptions(given map[string]string, configuration *pytext.Configuration) (map[string]string, error) {
	merged := map[string]string{}
	for _, name := range slices.Backward(mergedSections) {
		section, err := configuration.Section(name)
		if err != nil {
			return nil, err
		}
		maps.Copy(merged, section)
	}
	// These are true if given, otherwise false, whatever the file says.
	for _, name := range []string{"force", "force_stop", "now", "buildout_debug"} {
		delete(merged, name)
	}
	maps.Copy(merged, given)
	return merged, nil
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

// checkGridFiles checks that the files named by options exist.
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

// watchPass shows a line below the log on a terminal (D-15).
func (e *environment) watchPass(options *gridOptions) {
	if !isTerminal(e.stderr) || options.Node.BuildoutDebug {
		return
	}
	line := terminal.NewStatusLine(e.stderr, e.now)
	options.Node.Progress = line
	options.Node.Logger = slog.New(line.Above(options.Node.Logger.Handler()))
}
