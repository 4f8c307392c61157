// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"slapos/proxy/store"
	"slapos/proxy/usage"
)

// chartedReports is how many usage reports a chart has, the newest.
const chartedReports = 60

// The size of a chart, in its own units.
const (
	chartWidth  = 600.0
	chartHeight = 120.0
)

// chart is a line over time, drawn as SVG.
type chart struct {
	Name string
	// Points are those of a polyline; Top is the highest value, Last the newest.
	Points    string
	Top, Last string
	// From and To are the days of the first and the last value.
	From, To string
}

// Summary says what the chart shows, for those who don't see it.
func (c chart) Summary() string {
	return fmt.Sprintf("%s from %s to %s: at most %s, last %s", c.Name, c.From, c.To, c.Top, c.Last)
}

// chartsOf draws what a node used on the days of its reports, the newest of which
// is the first.
func chartsOf(computer string, reports []store.UsageReport) (charts []chart) {
	type day struct {
		name string
		line usage.Line
	}
	var days []day
	for _, report := range slices.Backward(reports) {
		parsed, err := usage.Parse(computer, report.Report)
		if err != nil {
			continue
		}
		for _, line := range parsed.Lines {
			if line.Reference == computer {
				days = append(days, day{parsed.Days, line})
			}
		}
	}
	for _, c := range []struct {
		name string
		of   func(usage.Line) string
	}{
		{"CPU", func(l usage.Line) string { return l.CPU }},
		{"Memory", func(l usage.Line) string { return l.Memory }},
		{"Disk", func(l usage.Line) string { return l.Disk }},
	} {
		var values []float64
		drawn := chart{Name: c.name}
		var top float64
		for _, day := range days {
			text := c.of(day.line)
			value, ok := quantity(text)
			if !ok {
				continue
			}
			if drawn.From == "" {
				drawn.From = day.name
			}
			if drawn.To, drawn.Last = day.name, text; value >= top {
				top, drawn.Top = value, text
			}
			values = append(values, value)
		}
		if len(values) < 2 {
			continue // a line has two ends
		}
		points := make([]string, len(values))
		for i, value := range values {
			x, y := chartWidth*float64(i)/float64(len(values)-1), chartHeight
			if top > 0 {
				y -= (chartHeight - 4) * value / top
			}
			points[i] = fmt.Sprintf("%.1f,%.1f", x, y)
		}
		drawn.Points = strings.Join(points, " ")
		charts = append(charts, drawn)
	}
	return charts
}

// quantity reads a percentage or a size with its unit.
func quantity(text string) (float64, bool) {
	number, unit, _ := strings.Cut(text, " ")
	value, err := strconv.ParseFloat(number, 64)
	units := map[string]float64{"%": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "PiB": 1 << 50}
	return value * units[unit], err == nil && units[unit] > 0
}
