// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // a name, not a secret: the software directory's
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"slapos/proxy/store"
	"slapos/proxy/usage"
	"slapos/slap"
	"slapos/slap/pyjson"
)

// Sections are the parts of the database that [Show] prints, in its order.
// Usage is beyond the original, and only printed when asked for.
var Sections = []string{"computers", "software", "partitions", "slaves", "params", "network"}

// SectionUsage is the section of usage reports.
const SectionUsage = "usage"

// Show prints sections of a database, Sections when none is named, in the
// original's form (PROXY-160). It reads the database as it is: tables of
// another schema version are "no such table".
func Show(ctx context.Context, w io.Writer, uri string, sections []string) error {
	reader, err := store.OpenReader(ctx, uri)
	if err != nil {
		return err
	}
	defer reader.Close()
	if len(sections) == 0 {
		sections = Sections
	}
	out := &bytes.Buffer{}
	fmt.Fprintf(out, "Using database: %s\n", reader.Name())
	for i, section := range sections {
		if i > 0 {
			fmt.Fprintln(out, " ")
		}
		if err := showSection(ctx, out, reader, section); err != nil {
			return err
		}
	}
	_, err = w.Write(out.Bytes())
	return err
}

func showSection(ctx context.Context, out io.Writer, reader *store.Reader, section string) error {
	switch section {
	case "params":
		return showParameters(ctx, out, reader)
	case "network":
		return showNetwork(ctx, out, reader)
	case SectionUsage:
		return showUsage(ctx, out, reader)
	}
	return showTable(ctx, out, reader, section)
}

// shownTable is a table, and the columns of it that are left out.
type shownTable struct {
	*store.Table
	name string
	skip []string
}

func readTable(ctx context.Context, reader *store.Reader, section string) (*shownTable, error) {
	shown := &shownTable{}
	condition := ""
	switch section {
	case "computers":
		shown.name = "computer18"
	case "software":
		shown.name = "software18"
	case "partitions":
		shown.name, condition = "partition18", "slap_state <> 'free'"
		shown.skip = []string{"xml", "connection_xml", "slave_instance_list"}
	case "slaves":
		shown.name, shown.skip = "slave18", []string{"connection_xml"}
	default:
		return nil, fmt.Errorf("there is no section %q", section)
	}
	var err error
	if shown.Table, err = reader.Table(ctx, shown.name, condition); err != nil {
		return nil, err
	}
	if section == "software" {
		addDigest(shown.Table)
	}
	return shown, nil
}

// showTable prints one of the sections that are tables (PROXY-161).
func showTable(ctx context.Context, out io.Writer, reader *store.Reader, section string) error {
	shown, err := readTable(ctx, reader, section)
	if err != nil {
		return err
	}
	if len(shown.Rows) == 0 {
		fmt.Fprintf(out, "table %s: empty\n", shown.name)
		return nil
	}
	title := "table " + shown.name
	if len(shown.skip) > 0 {
		title += ": skipping " + strings.Join(shown.skip, ", ")
	}
	fmt.Fprintln(out, title)
	writeTable(out, shown.Table, shown.skip)
	return nil
}

// addDigest adds the names of the software directories.
func addDigest(table *store.Table) {
	at := slices.Index(table.Columns, "url")
	table.Columns = append(table.Columns, "md5")
	for i, row := range table.Rows {
		sum := md5.Sum([]byte(cell(row[at]))) //nolint:gosec // as above
		table.Rows[i] = append(row, hex.EncodeToString(sum[:]))
	}
}

func cell(value any) string {
	if value == nil {
		return "-"
	}
	return slap.PythonString(value)
}

// writeTable prints the columns that aren't skipped, centred between rules.
func writeTable(out io.Writer, table *store.Table, skip []string) {
	lines := make([][]string, len(table.Rows)+1)
	var widths []int
	for i, column := range table.Columns {
		if slices.Contains(skip, column) {
			continue
		}
		width := utf8.RuneCountInString(column)
		lines[0] = append(lines[0], column)
		for j, row := range table.Rows {
			text := cell(row[i])
			lines[j+1] = append(lines[j+1], text)
			width = max(width, utf8.RuneCountInString(text))
		}
		widths = append(widths, width)
	}
	total := 1
	for _, width := range widths {
		total += width + 1
	}
	rule := strings.Repeat("-", total)
	for i, line := range lines {
		if i < 2 {
			fmt.Fprintln(out, rule)
		}
		for j, text := range line {
			pad := widths[j] - utf8.RuneCountInString(text)
			left := pad/2 + pad&widths[j]&1
			fmt.Fprint(out, " ", strings.Repeat(" ", left), text, strings.Repeat(" ", pad-left))
		}
		fmt.Fprintln(out, " ")
	}
	fmt.Fprintln(out, rule)
}

// published is what an instance tells its users.
type published struct {
	partition, reference, softwareType string
	parameters                         []slap.Parameter
}

func readParameters(ctx context.Context, reader *store.Reader) (all []published, err error) {
	table, err := reader.Table(ctx, "partition18", "connection_xml <> ''")
	if err != nil {
		return nil, err
	}
	for _, row := range table.Rows {
		p := published{partition: table.Text(row, "reference"), reference: table.Text(row, "partition_reference"), softwareType: table.Text(row, "software_type")}
		if p.parameters, err = slap.ListInstance([]byte(table.Text(row, "connection_xml"))); err != nil {
			return nil, fmt.Errorf("parameters of %s: %w", p.partition, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// showParameters prints what instances published (PROXY-162).
func showParameters(ctx context.Context, out io.Writer, reader *store.Reader) error {
	all, err := readParameters(ctx, reader)
	if err != nil {
		return err
	}
	for _, p := range all {
		fmt.Fprintf(out, "%s: %s (type %s)\n", p.partition, p.reference, p.softwareType)
		for _, parameter := range p.parameters {
			fmt.Fprintf(out, "    %s = %s\n", parameter.ID, parameterText(parameter.ID, parameter.Text))
		}
	}
	return nil
}

func parameterText(name, text string) string {
	switch {
	case text == "":
		return "None"
	case name == "ssh-key" || name == "ssh-public-key":
		runes := []rune(text)
		return string(runes[:min(20, len(runes))]) + "..." + string(runes[max(0, len(runes)-20):])
	case name != "_":
		return text
	}
	// It is usually JSON: easier to read with one value a line.
	value, err := readJSON(strings.NewReader(text))
	if err != nil {
		return text
	}
	dense, err := pyjson.Compact.Append(nil, value)
	var indented bytes.Buffer
	if err != nil || json.Indent(&indented, dense, "", "  ") != nil {
		return text
	}
	return indented.String()
}

// readNetwork returns the addresses of partitions in use, and these sorted.
func readNetwork(ctx context.Context, reader *store.Reader) (partitions []string, addresses map[string][]string, err error) {
	table, err := reader.Table(ctx, "partition_network18",
		"partition_reference NOT IN (SELECT reference FROM partition18 WHERE slap_state = 'free')")
	if err != nil {
		return nil, nil, err
	}
	addresses = map[string][]string{}
	for _, row := range table.Rows {
		partition := table.Text(row, "partition_reference")
		addresses[partition] = append(addresses[partition], table.Text(row, "address"))
	}
	return slices.Sorted(maps.Keys(addresses)), addresses, nil
}

// showNetwork prints the addresses of partitions in use (PROXY-163).
func showNetwork(ctx context.Context, out io.Writer, reader *store.Reader) error {
	partitions, addresses, err := readNetwork(ctx, reader)
	if err != nil {
		return err
	}
	for _, partition := range partitions {
		fmt.Fprintf(out, "%s: %s\n", partition, strings.Join(addresses[partition], ", "))
	}
	return nil
}

func usageTime(seconds float64) string {
	return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
}

// showUsage prints the usage reports, which the original doesn't keep.
func showUsage(ctx context.Context, out io.Writer, reader *store.Reader) error {
	reports, err := reader.Usage(ctx)
	if err != nil {
		return err
	}
	for _, report := range reports {
		text := report.Report
		if parsed, err := usage.Parse(report.Computer, text); err == nil {
			text = parsed.Text()
		}
		fmt.Fprintf(out, "%s %s\n%s\n", usageTime(report.Time), report.Computer, strings.TrimRight(text, "\n"))
	}
	return nil
}
