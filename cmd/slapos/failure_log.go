// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/grid/pass"
	"slapos/slap"
)

// logOptions are those of service log and computer log.
type logOptions struct {
	clientOptions
	reference, url string
	json           bool
}

func (o *logOptions) flags() []cli.Flag {
	return []cli.Flag{clientConfigFlag(&o.configuration), jsonFlag(&o.json, "print an object with the keys event, computer_guid, kind, subject, title and text")}
}

const logExitCodes = `

Exit codes: 0 success; 1 failed, or the master keeps no logs; 2 no failure with
a log is known, or wrong usage.`

// A failureLog is the text of an error that a node reported.
type failureLog struct {
	Event    int64  `json:"event"`
	Computer string `json:"computer_guid"`
	Kind     string `json:"kind"`
	Subject  string `json:"subject"`
	Title    string `json:"title"`
	Text     string `json:"text"`
}

// printLog prints the log, as it may be shown on a terminal.
func (e *environment) printLog(log *failureLog, asJSON bool) error {
	if asJSON {
		return e.printDocument(log)
	}
	_, err := fmt.Fprintln(e.stdout, strings.TrimRight(pass.Printable(log.Text), "\n"))
	return err
}

// instanceFailure finds the last failure of the instances with a title, or of the
// release that one waits for. It returns nil without one.
func (c *client) instanceFailure(ctx context.Context, title string) (*failureLog, error) {
	events, err := c.Events(ctx, slap.EventFilter{Title: title, Limit: 1000})
	if err != nil {
		return nil, err
	}
	root, shared := "", false
	if len(events) > 0 {
		last := events[len(events)-1]
		root, shared = last.Root, last.Kind == slap.KindShared
	}
	status, err := c.InstanceStatus(ctx, slap.InstanceGUID(title, root, shared))
	if err != nil && !errors.Is(err, slap.ErrNotFound) {
		return nil, err
	}
	if err == nil {
		log := &failureLog{Event: status.Actual.Event, Computer: status.Computer, Kind: slap.KindInstance, Subject: status.Partition, Title: status.Title}
		if status.Actual.Condition == slap.ConditionWaiting {
			log.Kind, log.Subject, log.Title = slap.KindRelease, status.SoftwareRelease, ""
		}
		if found, err := c.read(ctx, log); found != nil || err != nil {
			return found, err
		}
	}
	return c.lastLog(ctx, events)
}

// releaseFailure finds the last failure of a release on a computer.
func (c *client) releaseFailure(ctx context.Context, computer, url string) (*failureLog, error) {
	events, err := c.Events(ctx, slap.EventFilter{Computer: computer, Kind: slap.KindRelease, Subject: url, Limit: 1000})
	if err != nil {
		return nil, err
	}
	return c.lastLog(ctx, events)
}

// lastLog is that of the newest event that has one.
func (c *client) lastLog(ctx context.Context, events []slap.Event) (*failureLog, error) {
	for i := len(events) - 1; i >= 0; i-- {
		event := &events[i]
		if !event.HasLog {
			continue
		}
		log := &failureLog{Event: event.ID, Computer: event.Computer, Kind: event.Kind, Subject: event.Subject, Title: event.Title}
		if found, err := c.read(ctx, log); found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil
}

// read fills in the text of an event; nil if it has none any more.
func (c *client) read(ctx context.Context, log *failureLog) (*failureLog, error) {
	if log.Event == 0 {
		return nil, nil
	}
	text, err := c.EventLog(ctx, log.Event)
	if errors.Is(err, slap.ErrNotFound) {
		return nil, nil
	}
	log.Text = text
	return log, err
}

func runLog(ctx context.Context, e *environment, options logOptions, find func(*client) (*failureLog, error)) error {
	client, err := e.openClient(options.clientOptions)
	if err != nil {
		return err
	}
	defer client.Close()
	log, err := find(client)
	if err != nil {
		return err
	}
	if log == nil {
		e.log.Warn("No failure of " + strings.TrimSpace(options.url+" "+options.reference) + " is known.")
		return &exitError{code: 2}
	}
	return e.printLog(log, options.json)
}
