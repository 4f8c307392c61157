// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/terminal"
	"slapos/slap"
)

type statusOptions struct {
	clientOptions
	check bool
	json  bool
}

func (o *statusOptions) flags() []cli.Flag {
	return []cli.Flag{
		clientConfigFlag(&o.configuration),
		&cli.BoolFlag{Name: "check", Destination: &o.check, Usage: "end with exit code 1 when something needs attention"},
		jsonFlag(&o.json, "print an object with the keys time, counts, node_list, attention_list, attention_count and last_event"),
	}
}

func newStatusCommand(e *environment) *cli.Command {
	options := new(statusOptions)
	return &cli.Command{
		Name:     "status",
		Usage:    "show how everything is, and what needs attention",
		Category: "client",
		Description: `Shows on one screen how the nodes, software releases and instances of the master
are, and what needs attention, each with the command that tells more.

Exit codes: 0 success; 1 failed, the master keeps no states, or, with --check,
something needs attention; 2 wrong usage.`,
		Flags:  options.flags(),
		Action: func(c *cli.Context) error { return runStatus(c.Context, e, *options) },
	}
}

func runStatus(ctx context.Context, e *environment, options statusOptions) error {
	client, err := e.openClient(options.clientOptions)
	if err != nil {
		return err
	}
	defer client.Close()
	status, err := client.CloudStatus(ctx)
	if err != nil {
		return err
	}
	if options.json {
		err = e.printDocument(describeStatus(status))
	} else {
		_, err = fmt.Fprint(e.stdout, statusText(status))
	}
	if err == nil && options.check && status.AttentionCount > 0 {
		return &exitError{code: 1}
	}
	return err
}

// An attentionDocument is something that needs attention, with the command that
// tells more.
type attentionDocument struct {
	slap.Attention
	Command string `json:"command"`
}

// describeStatus is the status for programs.
func describeStatus(status *slap.CloudStatus) any {
	described := struct {
		*slap.CloudStatus
		Attention []attentionDocument `json:"attention_list"` // instead of the other
	}{CloudStatus: status, Attention: []attentionDocument{}}
	for _, a := range status.Attention {
		described.Attention = append(described.Attention, attentionDocument{a, commandFor(a)})
	}
	return described
}

// commandFor is the command that tells more.
func commandFor(a slap.Attention) string {
	switch {
	case a.Kind == slap.KindRelease && a.Actual.Event > 0:
		return "slapos computer log " + shellWord(a.Computer) + " " + shellWord(a.Subject)
	case a.Kind == slap.KindRelease, a.Kind == slap.KindNode:
		return "slapos computer events " + shellWord(a.Computer)
	case a.Actual.Event > 0:
		return "slapos service log " + shellWord(a.Title)
	}
	return "slapos service events " + shellWord(a.Title)
}

var plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// shellWord is a word as it is typed.
func shellWord(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// shownNodes are on one screen; those that need attention come first.
const shownNodes = 20

// shownAttention are on one screen.
const shownAttention = 20

// statusText is the status for people.
func statusText(status *slap.CloudStatus) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Nodes:     %s\nReleases:  %s\nInstances: %s\n", countsText(status.Counts.Nodes, slap.NodeConditions()),
		countsText(status.Counts.Releases, slap.ReleaseConditions()), countsText(status.Counts.Instances, slap.InstanceConditions()))
	if len(status.Nodes) > 0 {
		fmt.Fprintln(&b)
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "NODE\tSTATE\tPARTITIONS\tRELEASES\tATTENTION")
		for _, node := range status.Nodes[:min(len(status.Nodes), shownNodes)] {
			fmt.Fprintf(table, "%s\t%s\t%d of %d\t%d\t%d\n", shown(node.Computer), nodeText(status.Time, node.Actual),
				node.Busy, node.Partitions, node.Releases, node.Attention)
		}
		_ = table.Flush() // into memory
		if more := total(status.Counts.Nodes) - shownNodes; more > 0 {
			fmt.Fprintf(&b, "and %d more\n", more)
		}
	}
	if status.AttentionCount == 0 {
		b.WriteString("\nNothing needs attention.\n")
		return b.String()
	}
	b.WriteString("\nNeeds attention:\n")
	shownOnes := status.Attention[:min(len(status.Attention), shownAttention)]
	for _, a := range shownOnes {
		fmt.Fprintf(&b, "  %s\n      %s\n", attentionText(status.Time, a), shown(commandFor(a)))
	}
	if more := status.AttentionCount - int64(len(shownOnes)); more > 0 {
		fmt.Fprintf(&b, "  and %d more: slapos status --json\n", more)
	}
	return b.String()
}

// countsText has the numbers that aren't 0.
func countsText(counts map[slap.Condition]int64, conditions []slap.Condition) string {
	var words []string
	for _, condition := range conditions {
		if counts[condition] > 0 {
			words = append(words, fmt.Sprintf("%d %s", counts[condition], condition))
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

// nodeText says when a node was heard of.
func nodeText(now slap.Moment, a slap.Actual) string {
	if a.Reported.IsZero() {
		return string(a.Condition) + " heard of"
	}
	return fmt.Sprintf("%s, heard of %s", a.Condition, ago(now, a.Reported))
}

// attentionText says in one line what is wrong, and since when.
func attentionText(now slap.Moment, a slap.Attention) string {
	text := a.Kind + " "
	switch a.Kind {
	case slap.KindNode:
		text += a.Computer
	case slap.KindRelease:
		text += a.Subject + " on " + a.Computer
	default:
		text += subjectOf(slap.KindInstance, a.Subject, a.Title)
		if a.Computer != "" {
			text += " on " + a.Computer
		}
	}
	text += ": " + string(a.Actual.Condition)
	if since := a.Actual.Since; !since.IsZero() {
		text += " since " + terminal.Age(now.Sub(since.Time))
	}
	if a.Actual.Message != "" {
		text += ": " + a.Actual.Message
	}
	return shown(text)
}
