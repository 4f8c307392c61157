// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/slap"
)

// supplyOptions are those of supply and remove.
type supplyOptions struct {
	clientOptions
	url, node string
	wait      bool
	timeout   int
	json      bool
}

func (o *supplyOptions) flags() []cli.Flag {
	return []cli.Flag{
		clientConfigFlag(&o.configuration),
		&cli.BoolFlag{Name: "wait", Destination: &o.wait, Usage: "wait until the node has done it"},
		waitTimeoutFlag(&o.timeout),
		jsonFlag(&o.json, "print an object with the keys software-url, node, requested-state and, with --wait, condition"),
	}
}

func newSupplyCommand(e *environment) *cli.Command {
	options := new(supplyOptions)
	return &cli.Command{
		Name:      "supply",
		Usage:     "install a software release on a node",
		Category:  "client",
		ArgsUsage: "SOFTWARE_URL NODE",
		Description: `Asks the master to install the software release at SOFTWARE_URL on NODE, the
reference of a computer. product.NAME stands for the best release of a software
product.

With --wait, goes on until the node has done it, and ends at once with the end
of the log if that failed. Only a local master of this program can tell.

Exit codes: 0 the master accepted the request, or, with --wait, it is done; 1
failed; 2 wrong usage; 124 --timeout passed.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.url, options.node = c.Args().Get(0), c.Args().Get(1)
			return options.ask(c.Context, e, slap.StateAvailable, "Requesting software installation of "+options.url+"...")
		},
	}
}

// ask asks for a state of the release, which it tells before.
func (o *supplyOptions) ask(ctx context.Context, e *environment, state slap.State, announcement string) error {
	if o.url == "" || o.node == "" {
		return argv.UsageErrorf("SOFTWARE_URL and NODE are not empty: slapos supply URL COMP-1")
	}
	client, err := e.openClient(o.clientOptions)
	if err != nil {
		return err
	}
	defer client.Close()
	e.log.Info(announcement)
	url, err := e.softwareURL(ctx, client, o.url)
	if err != nil {
		return err
	}
	before := client.releaseBefore(ctx, url, o.node)
	w := &waiter{e: e, client: client, subject: url + " on " + o.node, timeout: o.timeout}
	supply := func(ctx context.Context) (string, bool, error) {
		return "", true, client.Supply(ctx, url, o.node, state)
	}
	if o.wait {
		err = w.until(ctx, supply)
	} else {
		_, _, err = supply(ctx)
	}
	if err != nil {
		return err
	}
	if state == slap.StateAvailable {
		e.warnSupply(ctx, client, url, o.node)
	}
	done := suppliedDocument{URL: url, Node: o.node, State: state}
	if o.wait {
		if err := w.release(ctx, url, o.node, state, before); err != nil {
			return err
		}
		if done.Condition = slap.ConditionAvailable; state == slap.StateDestroyed {
			done.Condition = conditionDestroyed
		}
	}
	e.log.Info("Done.")
	if o.json {
		return e.printDocument(done)
	}
	return nil
}

// A suppliedDocument is what was asked for, for programs.
type suppliedDocument struct {
	URL       string         `json:"software-url"`
	Node      string         `json:"node"`
	State     slap.State     `json:"requested-state"`
	Condition slap.Condition `json:"condition,omitempty"`
}

// warnSupply warns of what no node will build: the master accepts everything.
func (e *environment) warnSupply(ctx context.Context, client *client, url, node string) {
	if !strings.Contains(url, "://") && !strings.HasPrefix(url, "/") && !strings.HasPrefix(url, "~") {
		e.log.Warn(url + " is neither a URL nor an absolute path: a node can't find it")
	}
	e.tellUnknownNode(ctx, client, node)
}

// tellUnknownNode warns of a node that the master doesn't know, if it tells.
func (e *environment) tellUnknownNode(ctx context.Context, client *client, node string) {
	status, err := client.CloudStatus(ctx)
	if err != nil || status.Nodes == nil || int64(len(status.Nodes)) < total(status.Counts.Nodes) {
		return // nothing that this master can tell
	}
	for i := range status.Nodes {
		if status.Nodes[i].Computer == node {
			return
		}
	}
	e.log.Warn("The master knows no node " + node + ": slapos computer list shows those that there are")
}

func total(counts map[slap.Condition]int64) (all int64) {
	for _, count := range counts {
		all += count
	}
	return all
}
