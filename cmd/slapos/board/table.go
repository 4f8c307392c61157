// SPDX-License-Identifier: GPL-3.0-or-later

package board

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"slapos/cmd/slapos/terminal"
	"slapos/promise"
)

// drawPause is the least time between two pictures of the table.
const drawPause = 50 * time.Millisecond

const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the other screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	homeScreen  = "\x1b[H"
	restOfLine  = "\x1b[K"
	restBelow   = "\x1b[J"
)

// Draw shows the table on a terminal whenever it changes, and once a second,
// until the context ends. The last picture stays.
func (b *Board) Draw(ctx context.Context, stream io.Writer) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	fmt.Fprint(stream, enterScreen)
	for {
		width, height := terminal.Size(stream)
		var screen strings.Builder
		screen.WriteString(homeScreen)
		for i, line := range b.screen(height) {
			if i > 0 {
				screen.WriteString("\r\n")
			}
			screen.WriteString(b.colored(terminal.Cut(line, width)) + restOfLine)
		}
		fmt.Fprint(stream, screen.String()+restBelow)
		select {
		case <-ctx.Done():
			fmt.Fprint(stream, leaveScreen+strings.Join(b.Table(0), "\n")+"\n")
			return
		case <-b.changed:
			time.Sleep(drawPause) // for what changes at the same time
		case <-ticker.C:
		}
	}
}

// screen is the table below a line with the current activity.
func (b *Board) screen(height int) []string {
	b.mu.Lock()
	status := "waiting for the first results"
	switch {
	case !b.began.IsZero():
		status = fmt.Sprintf("checking for %s", terminal.Age(b.now().Sub(b.began)))
	case b.err != nil:
		status = terminal.OneLine(b.err.Error())
	case !b.ended.IsZero():
		status = fmt.Sprintf("checked %s ago", terminal.Age(b.now().Sub(b.ended)))
	}
	b.mu.Unlock()
	head := []string{b.summary() + "; " + status + "; Ctrl-C to end", ""}
	return append(head, b.Table(height-len(head))...)
}

// summary counts the promises.
func (b *Board) summary() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	counts := map[string]int{}
	for _, p := range b.partitions {
		for _, r := range p.promises {
			counts[r.state()]++
		}
		if p.err != nil {
			counts["error"]++
		}
	}
	text := fmt.Sprintf("%d partitions: %d good, %d failed", len(b.partitions), counts["good"], counts["failed"])
	for _, state := range []string{"running", "unknown", "error"} {
		if counts[state] > 0 {
			text += fmt.Sprintf(", %d %s", counts[state], state)
		}
	}
	return text
}

func (p shownPromise) state() string {
	switch {
	case p.running:
		return "running"
	case p.Failed:
		return "failed"
	case p.Date.IsZero():
		return "unknown"
	}
	return "good"
}

// Table has a title line and a line for each promise. If it would exceed limit
// (0: none), passing promises make room for others.
func (b *Board) Table(limit int) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var rows []string
	for _, p := range b.partitions {
		if p.err != nil {
			rows = append(rows, strings.Join([]string{p.name, "", "error", "", "", terminal.OneLine(p.err.Error())}, "\t"))
		}
		for _, r := range p.promises {
			rows = append(rows, strings.Join([]string{p.name, terminal.OneLine(r.Name), r.state(), took(r.Result), b.age(r.Result), terminal.OneLine(r.Message)}, "\t"))
		}
	}
	hidden := 0
	if excess := len(rows) + 1 - limit; limit > 0 && excess > 0 {
		before := len(rows)
		excess++ // for the line that says so
		rows = slices.DeleteFunc(rows, func(row string) bool {
			if excess <= 0 || strings.Split(row, "\t")[2] != "good" {
				return false
			}
			excess--
			return true
		})
		rows = rows[:max(0, min(len(rows), limit-2))]
		hidden = before - len(rows)
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PARTITION\tPROMISE\tSTATE\tTOOK\tAGE\tMESSAGE")
	for _, row := range rows {
		fmt.Fprintln(w, row)
	}
	w.Flush()
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	if hidden > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", hidden))
	}
	return lines
}

func took(r promise.Result) string {
	if r.Duration == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3fs", r.Duration.Seconds())
}

func (b *Board) age(r promise.Result) string {
	if r.Date.IsZero() {
		return "-"
	}
	return terminal.Age(b.now().Sub(r.Date))
}

// colored marks the lines of a table that need attention.
func (b *Board) colored(line string) string {
	if !b.HasColor {
		return line
	}
	fields := strings.Fields(line)
	for _, field := range fields[:min(len(fields), 3)] {
		switch field {
		case "failed", "error":
			return "\x1b[0;31m" + line + "\x1b[0m"
		case "running":
			return "\x1b[0;33m" + line + "\x1b[0m"
		}
	}
	return line
}
