// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/terminal"
	"slapos/grid/pass"
	"slapos/slap"
	"slapos/slap/clock"
)

// eventsOptions are those of service events and computer events.
type eventsOptions struct {
	clientOptions
	reference string
	follow    bool
	limit     int
	json      bool
}

func (o *eventsOptions) flags() []cli.Flag {
	return []cli.Flag{
		clientConfigFlag(&o.configuration),
		&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Destination: &o.follow, Usage: "go on with what happens, until interrupted"},
		argv.WholeFlag(&o.limit, "limit", "how many of the last events to show, as `NUMBER`", "20", 1, 1000),
		jsonFlag(&o.json, "print each event as a JSON object in one line"),
	}
}

const eventsExitCodes = `

Exit codes: 0 success; 1 failed, or the master keeps no events; 2 nothing is
known of it, or wrong usage; 130 interrupted.`

// followPause is between two questions of a command that follows what happens.
const followPause = 2 * time.Second

// runEvents prints the events that a filter selects.
func runEvents(ctx context.Context, e *environment, options eventsOptions, filter slap.EventFilter) error {
	client, err := e.openClient(options.clientOptions)
	if err != nil {
		return err
	}
	defer client.Close()
	filter.Limit = options.limit
	events, err := client.Events(ctx, filter)
	if err != nil {
		return err
	}
	if len(events) == 0 && !options.follow {
		e.log.Warn("Nothing is known of " + options.reference + ".")
		return &exitError{code: 2}
	}
	for {
		for i := range events {
			if err := e.printEvent(&events[i], options.json); err != nil {
				return err
			}
			filter.After, filter.Limit = events[i].ID, 1000
		}
		if !options.follow {
			return nil
		}
		if err := clock.Pause(ctx, followPause); err != nil {
			return err
		}
		if events, err = client.Events(ctx, filter); err != nil {
			return err
		}
	}
}

// printEvent prints an event in one line.
func (e *environment) printEvent(event *slap.Event, asJSON bool) error {
	line := e.eventLine(event)
	if asJSON {
		text, err := json.Marshal(event)
		if err != nil {
			return err
		}
		line = string(text)
	}
	_, err := fmt.Fprintln(e.stdout, line)
	return err
}

// eventLine says when something happened, to what, where and by whom.
func (e *environment) eventLine(event *slap.Event) string {
	words := []string{event.Time.Local().Format("2006-01-02 15:04:05")}
	if event.Kind != slap.KindNode {
		words = append(words, subjectOf(event.Kind, event.Subject, event.Title), "on")
	}
	words = append(words, event.Computer+":", event.Event)
	if event.State != "" && event.State != event.Event {
		words = append(words, event.State)
	}
	if event.Message != "" {
		words = append(words, "- "+event.Message)
	}
	if event.Actor != "" {
		words = append(words, "(by "+event.Actor+")")
	}
	return shown(strings.Join(words, " "))
}

// subjectOf names what an event or a line of the status is about.
func subjectOf(kind, subject, title string) string {
	switch kind {
	case slap.KindInstance:
		if subject == "" {
			return title
		}
		return title + " in " + subject
	case slap.KindShared:
		return title + " (shared)"
	}
	return subject
}

// shown is a text of the master in one line of a terminal.
func shown(text string) string {
	return strings.ReplaceAll(pass.Printable(text), "\n", " ")
}

// ago says how long something has been, as of the master's clock.
func ago(now, since slap.Moment) string {
	if since.IsZero() {
		return ""
	}
	return terminal.Age(now.Sub(since.Time)) + " ago"
}
