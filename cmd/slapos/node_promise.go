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

	"slapos/cmd/slapos/argv"
	"slapos/grid/instance"
	"slapos/grid/pass"
)

func newNodePromiseCommand(e *environment) *cli.Command {
	g := gridCommand{
		name:  "promise",
		usage: "check the promises of started instances",
		description: `Runs all promises, due or not, and tells nothing to the master. --stored tells
what the last runs found, this command's and those of "slapos node instance".

Exit codes: 0 all are good; 1 failed; 2 a promise failed; 5 not root; 10 another
slapos process runs.`,
		only:       "only-cp",
		pidFileKey: "pidfile_instance", pidFile: "/opt/slapos/slapgrid-cp.pid",
		flags: []cli.Flag{
			onlyFlag("only-cp", "check only the partition `NAME` (comma-separated list)"),
			&cli.BoolFlag{Name: "stored", Usage: "run nothing, tell the last results"},
			&cli.BoolFlag{Name: "watch", Usage: "go on until interrupted; on a terminal, show a table"},
			argv.WholeFlag("every", "`SECONDS` between two rounds of --watch (default: 30; 2 with --stored)", "", 1, maxSeconds),
			&cli.BoolFlag{Name: "json", Usage: "write the results as JSON to standard output, with --watch one line for each round"},
			&cli.StringFlag{Name: "textfile", Usage: "write the results as metrics to slapos_promise.prom in `DIRECTORY`, for node_exporter"},
		},
		brief: true,
		run: func(ctx context.Context, options *gridOptions) (pass.Result, error) {
			return instance.PromisePass(ctx, options.forInstance())
		},
	}
	command := e.newGridCommand(g)
	command.Action = func(c *cli.Context) error { return e.runPromises(c, g) }
	return command
}

// runPromises is one round, or with --watch many.
func (e *environment) runPromises(c *cli.Context, g gridCommand) error {
	if err := argv.Exclusive(c, "textfile", "only-cp"); err != nil {
		return err
	}
	board := newPromiseBoard(e.now)
	g.prepare = func(_ *cli.Context, options *gridOptions) error {
		options.Instance.Promises = board
		return nil
	}
	round := func() error { return e.runGrid(c, g) }
	if c.Bool("stored") {
		round = func() error { return e.readPromises(c, board) }
	}
	if !c.Bool("watch") {
		err := round()
		var exit *exitError
		if err != nil && (!errors.As(err, &exit) || exit.code != pass.ExitPromiseFailed) {
			return err
		}
		if err := e.tellPromises(c, board); err != nil {
			return err
		}
		return err
	}
	return e.watchPromises(c, board, round)
}

// watchPromises goes on until the context ends. What fails is tried again: a
// master may come back, and another process may end. A configuration that can't
// be read ends it at once.
func (e *environment) watchPromises(c *cli.Context, board *promiseBoard, round func() error) error {
	interval := 30 * time.Second
	switch {
	case c.IsSet("every"):
		interval = time.Duration(argv.WholeOf(c, "every")) * time.Second
	case c.Bool("stored"):
		interval = 2 * time.Second
	}
	if _, err := e.nodeConfiguration(c.String("cfg")); err != nil {
		return err
	}
	if isTerminal(e.stdout) && !c.Bool("json") {
		defer e.showTable(board)()
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		board.begin()
		err := round()
		var exit *exitError
		switch {
		case c.Context.Err() != nil:
			return nil
		case errors.As(err, &exit) && exit.code == pass.ExitPromiseFailed:
			err = nil
		case errors.As(err, &exit) && exit.code == pass.ExitRunning:
			err = errors.New("another slapos process works on the partitions: waiting for it")
		case err != nil:
			e.log.Error(err.Error())
		}
		board.end(err)
		if err == nil {
			if err := e.tellPromises(c, board); err != nil {
				return err
			}
		}
		select {
		case <-c.Context.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// readPromises tells the board the last results, without master and pid file.
func (e *environment) readPromises(c *cli.Context, board *promiseBoard) (err error) {
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
	if err := requireOptions(merged, "instance_root"); err != nil {
		return err
	}
	options := instance.Options{Node: pass.Node{Logger: e.log}}
	if options.Node.InstanceRoot, err = filepath.Abs(merged["instance_root"]); err != nil {
		return err
	}
	options.Node.Only = onlyOption(c, merged, "only-cp")
	options.Promises = board
	if err := instance.StoredPromises(options); err != nil {
		return err
	}
	isDrawn := c.Bool("watch") && isTerminal(e.stdout)
	if !isDrawn && !c.Bool("json") && !c.IsSet("textfile") {
		fmt.Fprintln(e.stdout, strings.Join(board.table(0), "\n"))
	}
	if board.failed() > 0 {
		return &exitError{pass.ExitPromiseFailed, nil}
	}
	return nil
}

// tellPromises writes what the options ask for.
func (e *environment) tellPromises(c *cli.Context, board *promiseBoard) error {
	if directory := c.String("textfile"); directory != "" {
		if err := writePromiseMetrics(filepath.Join(e.expandUser(directory), "slapos_promise.prom"), board); err != nil {
			return err
		}
	}
	if !c.Bool("json") {
		return nil
	}
	if c.Bool("watch") {
		return json.NewEncoder(e.stdout).Encode(board.document())
	}
	text, err := json.MarshalIndent(board.document(), "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(e.stdout, "%s\n", text)
	}
	return err
}

// showTable draws the board on the terminal, and keeps the log away from it,
// until the function that it returns is called.
func (e *environment) showTable(board *promiseBoard) (stop func()) {
	board.hasColor = e.getenv("NO_COLOR") == "" && e.getenv("TERM") != "dumb"
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
		board.draw(ctx, e.stdout)
	}()
	return func() {
		cancel()
		<-done
		e.log, e.stderr = log, stderr
	}
}
