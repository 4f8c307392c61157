// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"slapos/collect"
	"slapos/slap/wholefile"
)

// readCollected shows or draws what was collected.
func (e *environment) readCollected(ctx context.Context, settings *collect.Options, options collectOptions) error {
	names, err := collectedNames(settings.Partitions, options.partitions.Value())
	if err != nil {
		return err
	}
	history, err := collect.OpenHistory(collect.DatabasePath(settings.InstanceRoot))
	if err != nil {
		return err
	}
	defer history.Close()
	if options.json != "" {
		if err := e.writeDayJSON(ctx, history, options.json); err != nil {
			return err
		}
	}
	now := e.now()
	from := now.Add(-options.since)
	if options.plot != "" {
		const points = 480
		use, err := history.Read(ctx, from, now, points, names...)
		if err != nil {
			return err
		}
		if err := collect.Plot(use, options.plot); err != nil {
			return err
		}
		e.log.Info("Plot written to " + options.plot)
	}
	if !options.show {
		return nil
	}
	use, err := history.Read(ctx, from, now, sparkWidth, names...)
	if err != nil {
		return err
	}
	return e.showUse(use)
}

// collectedNames turns references of partitions into names of users.
func collectedNames(partitions []collect.Partition, wanted []string) ([]string, error) {
	var names []string
	for _, name := range wanted {
		i := slices.IndexFunc(partitions, func(p collect.Partition) bool { return p.User == name || p.ID() == name })
		if i < 0 {
			return nil, fmt.Errorf("this node has no partition %s", strconv.QuoteToGraphic(name))
		}
		names = append(names, partitions[i].User)
	}
	return names, nil
}

// writeDayJSON is COL-39.
func (e *environment) writeDayJSON(ctx context.Context, history *collect.History, directory string) error {
	series, err := history.Day(ctx, e.now().UTC().Format("2006-01-02"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(series)) {
		content, err := series.JSON(name)
		if err != nil {
			return err
		}
		if err := wholefile.Write(filepath.Join(directory, "system_"+name+".json"), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// sparkWidth is the length of a drawn line in the table.
const sparkWidth = 24

// showUse prints a line for the machine, and one for each partition. The numbers
// are the newest ones.
func (e *environment) showUse(use *collect.Use) error {
	const layout = "2006-01-02 15:04"
	var b strings.Builder
	samples := "samples"
	if use.Passes == 1 {
		samples = "sample"
	}
	fmt.Fprintf(&b, "%s to %s UTC, %d %s\n\n", use.From.Format(layout), use.To.Format(layout), use.Passes, samples)
	tracks := append([]collect.Track{use.Computer}, use.Partitions...)
	width := len("partition")
	for _, track := range tracks {
		width = max(width, len(printable(track.Name)))
	}
	fmt.Fprintf(&b, "%-*s  %7s  %-*s  %9s  %-*s  %9s  %s\n", width, "partition", "cpu %", sparkWidth, "", "memory", sparkWidth, "", "disk", "")
	for _, t := range tracks {
		fmt.Fprintf(&b, "%-*s  %7s  %s  %9s  %s  %9s  %s\n", width, printable(t.Name),
			newestOf(t.CPU, func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }), spark(t.CPU),
			newestOf(t.Memory, bytesText), spark(t.Memory), newestOf(t.Disk, bytesText), spark(t.Disk))
	}
	text := b.String()
	if len(use.Partitions) == 0 {
		text += "\nNo processes or folders of partitions were seen in this time.\n"
	}
	for line := range strings.Lines(text) {
		if _, err := fmt.Fprintln(e.stdout, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// printable keeps control characters out of the terminal.
func printable(name string) string {
	quoted := strconv.QuoteToGraphic(name)
	return quoted[1 : len(quoted)-1]
}

func newestOf(values []float64, text func(float64) string) string {
	for _, value := range slices.Backward(values) {
		if !math.IsNaN(value) {
			return text(value)
		}
	}
	return "-"
}

// spark draws values from 0 to the highest one; a gap is a blank.
func spark(values []float64) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	highest := 0.0
	for _, value := range values {
		if value > highest {
			highest = value
		}
	}
	line := make([]rune, len(values))
	for i, value := range values {
		switch {
		case math.IsNaN(value):
			line[i] = ' '
		case highest == 0:
			line[i] = bars[0]
		default:
			line[i] = bars[min(len(bars)-1, max(0, int(value/highest*float64(len(bars)))))]
		}
	}
	return string(line)
}

// bytesText is a size with three digits or so.
func bytesText(size float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for ; size >= 1000 && i < len(units)-1; i++ {
		size /= 1024
	}
	digits := 1
	if i == 0 || size >= 100 {
		digits = 0
	}
	return strconv.FormatFloat(size, 'f', digits, 64) + " " + units[i]
}
