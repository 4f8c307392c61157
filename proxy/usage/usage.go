// SPDX-License-Identifier: GPL-3.0-or-later

// Package usage reads the usage reports that nodes send, for people to look at.
package usage

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Report is what a usage report says.
type Report struct {
	Title string
	Days  string // 2026-11-20, or two of them with " to " between
	// Lines has one for the computer and each user, when the report has what
	// node collect measures and nothing else (COL-37).
	Lines []Line
	// ZeroEmission is the ratio in percent; "" if it was never measured.
	ZeroEmission string
	// Movements is all of any other report.
	Movements []Movement
}

// Line is what a computer or one of its users used, on average: a percentage and
// two sizes with their units, or "". The computer's percentage is that of all
// processors, others' of one.
type Line struct{ Reference, CPU, Memory, Disk string }

// Movement is a line of a report (SLAP-60): how much of what, and whose.
type Movement struct {
	Reference string `xml:"reference"`
	Title     string `xml:"title"`
	Resource  string `xml:"resource"`
	Quantity  string `xml:"quantity"`
}

// Parse reads a report of a computer. Anything but a journal of one transaction
// with movements, as nodes send them, is an error.
func Parse(computer, text string) (*Report, error) {
	var journal struct {
		XMLName      xml.Name `xml:"journal"`
		Transactions []struct {
			Title     string     `xml:"title"`
			Start     string     `xml:"start_date"`
			Stop      string     `xml:"stop_date"`
			Movements []Movement `xml:"movement"`
		} `xml:"transaction"`
	}
	if err := xml.Unmarshal([]byte(text), &journal); err != nil {
		return nil, fmt.Errorf("read usage report: %w", err)
	}
	if len(journal.Transactions) != 1 || len(journal.Transactions[0].Movements) == 0 {
		return nil, errors.New("read usage report: no transaction with movements")
	}
	t := journal.Transactions[0]
	r := &Report{Title: strings.TrimSpace(t.Title), Days: days(t.Start, t.Stop)}
	// The units of other reports are unknown.
	if !strings.HasPrefix(r.Title, "Eco Information for ") || !r.collected(computer, t.Movements) {
		r.Lines, r.ZeroEmission, r.Movements = nil, "", t.Movements
	}
	return r, nil
}

// days shortens two times to their days.
func days(start, stop string) string {
	first, _, _ := strings.Cut(start, " ")
	last, _, _ := strings.Cut(stop, " ")
	if first == "" || last == "" || first == last {
		return cmp.Or(first, last)
	}
	return first + " to " + last
}

// collected fills in the lines; false if a movement has no place there.
func (r *Report) collected(computer string, movements []Movement) bool {
	for _, m := range movements {
		quantity, err := strconv.ParseFloat(m.Quantity, 64)
		if err != nil || math.IsInf(quantity, 0) || math.IsNaN(quantity) {
			return false
		}
		place, text := (*string)(nil), ""
		switch m.Resource {
		case "service_module/cpu_load_percent":
			place, text = &r.line(m.Reference).CPU, percent(quantity)
		case "service_module/memory_used":
			if m.Reference == computer {
				quantity /= 1 << 20 // the computer's is in bytes, others' in MiB
			}
			place, text = &r.line(m.Reference).Memory, size(quantity)
		case "service_module/disk_used":
			place, text = &r.line(m.Reference).Disk, size(quantity)
		case "service_module/zero_emission_ratio":
			if quantity < 0 {
				continue
			}
			place, text = &r.ZeroEmission, percent(quantity)
		}
		if place == nil || *place != "" {
			return false
		}
		*place = text
	}
	return true
}

// line is that of a computer or user, a new one at first.
func (r *Report) line(reference string) *Line {
	at := slices.IndexFunc(r.Lines, func(l Line) bool { return l.Reference == reference })
	if at < 0 {
		at = len(r.Lines)
		r.Lines = append(r.Lines, Line{Reference: reference})
	}
	return &r.Lines[at]
}

func percent(value float64) string { return strconv.FormatFloat(value, 'f', 1, 64) + " %" }

// size is one of mebibytes, in a unit that fits.
func size(value float64) string {
	unit := "MiB"
	for _, larger := range []string{"GiB", "TiB", "PiB"} {
		if value >= 1000 {
			value, unit = value/1024, larger
		}
	}
	digits := 1
	if value >= 100 {
		digits = 0
	}
	return strconv.FormatFloat(value, 'f', digits, 64) + " " + unit
}

// Text is the report as a title and a table for a terminal, without the control
// characters that a sender may have put into names.
func (r *Report) Text() string {
	var rows [][]string
	if r.Lines != nil {
		rows = append(rows, []string{"", "CPU", "memory", "disk"})
	}
	for _, l := range r.Lines {
		rows = append(rows, []string{l.Reference, cmp.Or(l.CPU, "-"), cmp.Or(l.Memory, "-"), cmp.Or(l.Disk, "-")})
	}
	if r.ZeroEmission != "" {
		rows = append(rows, []string{"zero emission ratio", r.ZeroEmission})
	}
	if rows == nil && r.Movements == nil {
		rows = append(rows, []string{"nothing was measured"})
	}
	for _, m := range r.Movements {
		rows = append(rows, []string{m.Reference, m.Quantity, m.Resource, m.Title})
	}
	widths := map[int]int{}
	for _, row := range rows {
		for i := range row {
			row[i] = printable(row[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\n", printable(r.Title), printable(r.Days))
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 && r.Movements == nil {
				row[i] = fmt.Sprintf("%*s", max(widths[i], 8), cell)
			} else {
				row[i] = fmt.Sprintf("%-*s", widths[i], cell)
			}
		}
		b.WriteString("  " + strings.TrimRight(strings.Join(row, "  "), " ") + "\n")
	}
	return b.String()
}

func printable(text string) string {
	quoted := strconv.QuoteToGraphic(text)
	return quoted[1 : len(quoted)-1]
}
