// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/grid/instance"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/board"
	"slapos/cmd/slapos/pytext"
	"slapos/grid/pass"
)

type promiseOptions struct {
	passOptions
	stored, watch, json bool
	every               int // seconds; 0: not given
	textfile            string
	hasTextfile         bool // also an empty one
}

func (o *promiseOptions) flags() []cli.Flag {
	return append(o.passOptions.flags(),
		o.onlyFlag("only-cp", "check only the partition `NAME` (comma-separated list)"),
		&cli.BoolFlag{Name: "stored", Destination: &o.stored, Usage: "run nothing, show the last results"},
		&cli.BoolFlag{Name: "watch", Destination: &o.watch, Usage: "repeat until interrupted; on a terminal, show a table"},
		argv.WholeFlag(&o.every, "every", "`SECONDS` between two rounds of --watch (default: 30; 2 with --stored)", "", 1, maxSeconds),
		&cli.BoolFlag{Name: "json", Destination: &o.json, Usage: "write the results as JSON to standard output, with --watch one line for each round"},
		&cli.StringFlag{Name: "textfile", Destination: &o.textfile, Usage: "write the results as metrics to slapos_promise.prom in `DIRECTORY`, for node_exporter"},
	)
}

func newNodePromiseCommand(e *environment) *cli.Command {
	options := new(promiseOptions)
	g := gridCommand{
		name:  "promise",
		usage: "check the promises of started instances",
		description: `Runs all promises, due or not, and reports nothing to the master. --stored
shows the last results, of this command and of "slapos node instance".

Exit codes: 0 all promises pass; 1 failed; 2 a promise failed; 5 not root;
10 another slapos process runs.`,
		options:    &options.passOptions,
		flags:      options.flags(),
		pidFileKey: instancePIDKey, pidFile: instancePIDFile,
		brief: true,
		run: func(ctx context.Context, options *gridOptions) (pass.Result, error) {
			return instance.PromisePass(ctx, options.forInstance())
		},
	}
	command := e.newGridCommand(g)
	command.Action = func(c *cli.Context) error {
		if err := argv.Exclusive(c, "textfile", "only-cp"); err != nil {
			return err
		}
		options.hasTextfile = c.IsSet("textfile")
		if err := options.read(c); err != nil {
			return err
		}
		return e.runPromiseRounds(c.Context, g, options)
	}
	return command
}

// runPromiseRounds is one round, or with --watch many.
func (e *environment) runPromiseRounds(ctx context.Context, g gridCommand, options *promiseOptions) error {
	results := board.New(e.now)
	g.prepare = func(options *gridOptions) error {
		options.Instance.Promises = results
		return nil
	}
	round := func() error { return e.runGrid(ctx, g) }
	if options.stored {
		round = func() error { return e.readPromises(options, results) }
	}
	if options.watch {
		return e.watchPromises(ctx, options, results, round)
	}
	err := round()
	var exit *exitError
	if err != nil && (!errors.As(err, &exit) || exit.code != pass.ExitPromiseFailed) {
		return err
	}
	if err := e.writePromises(options, results); err != nil {
		return err
	}
	return err
}

// watchPromises goes on until the context ends. It retries after failures: a
// master may come back, and another process may end. An unreadable
// configuration ends it at once.
func (e *environment) watchPromises(ctx context.Context, options *promiseOptions, results *board.Board, round func() error) error {
	interval := 30 * time.Second
	switch {
	case options.every > 0:
		interval = time.Duration(options.every) * time.Second
	case options.stored:
		interval = 2 * time.Second
	}
	if _, err := e.nodeConfiguration(options.configuration); err != nil {
		return err
	}
	if isTerminal(e.stdout) && !options.json {
		defer e.showTable(results)()
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		results.Begin()
		err := round()
		var exit *exitError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &exit) && exit.code == pass.ExitPromiseFailed:
			err = nil
		case errors.As(err, &exit) && exit.code == pass.ExitRunning:
			err = errors.New("another slapos process is processing the partitions: waiting for it")
		case err != nil:
			e.log.Error(err.Error())
		}
		results.End(err)
		if err == nil {
			if err := e.writePromises(options, results); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// readPromises gives the board the last results, without master and pid file.
func (e *environment) readPromises(options *promiseOptions, results *board.Board) error {
	err := e.withConfiguration(options.configuration, gridSections, func(configuration *pytext.Configuration) error {
		return e.storedPromises(configuration, options, results)
	})
	if err != nil {
		return err
	}
	isDrawn := options.watch && isTerminal(e.stdout)
	if !isDrawn && !options.json && !options.hasTextfile {
		if _, err := fmt.Fprintln(e.stdout, strings.Join(results.Table(0), "\n")); err != nil {
			return err
		}
	}
	if results.Failed() > 0 {
		return &exitError{code: pass.ExitPromiseFailed}
	}
	return nil
}

func (e *environment) storedPromises(configuration *pytext.Configuration, options *promiseOptions, results *board.Board) error {
	merged, err := mergeGridOptions(options.given, configuration)
	if err != nil {
		return err
	}
	if err := e.checkRoot(merged); err != nil {
		return err
	}
	if err := requireOptions(merged, "instance_root"); err != nil {
		return err
	}
	looked := instance.Options{Node: pass.Node{Logger: e.log}}
	if looked.Node.InstanceRoot, err = filepath.Abs(merged["instance_root"]); err != nil {
		return err
	}
	looked.Node.Only = options.limits(merged)
	looked.Promises = results
	return instance.StoredPromises(looked)
}

// writePromises writes what the options ask for.
func (e *environment) writePromises(options *promiseOptions, results *board.Board) error {
	if directory := options.textfile; directory != "" {
		if err := results.WriteMetrics(filepath.Join(e.expandUser(directory), "slapos_promise.prom")); err != nil {
			return err
		}
	}
	if !options.json {
		return nil
	}
	if !options.watch {
		return e.printDocument(results.Document())
	}
	encoder := json.NewEncoder(e.stdout)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(results.Document())
}

// showTable draws the board on the terminal, and keeps the log away from it,
// until the function that it returns is called.
func (e *environment) showTable(results *board.Board) (stop func()) {
	results.HasColor = e.getenv("NO_COLOR") == "" && e.getenv("TERM") != "dumb"
	log, stderr := e.log, e.stderr
	if isTerminal(stderr) {
		e.stderr = io.Discard
		e.log = slog.New(e.console())
		if e.global.logFile != "" {
			_ = e.addLogFile(e.global.logFile) // it could be opened before
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // owns the terminal until the returned function has waited for it
		defer close(done)
		results.Draw(ctx, e.stdout)
	}()
	return func() {
		cancel()
		<-done
		e.log, e.stderr = log, stderr
	}
}
