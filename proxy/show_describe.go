// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"context"
	"slices"

	"slapos/proxy/store"
)

// Describe returns what [Show] prints, for programs: the name of the database, and
// for each section a list of objects (PROXY-164). Those of tables have the columns
// that are shown.
func Describe(ctx context.Context, uri string, sections []string) (map[string]any, error) {
	reader, err := store.OpenReader(ctx, uri)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	if len(sections) == 0 {
		sections = Sections
	}
	described := map[string]any{"database": reader.Name()}
	for _, section := range sections {
		describe := describeTable
		switch section {
		case "params":
			describe = describeParameters
		case "network":
			describe = describeNetwork
		case SectionUsage:
			describe = describeUsage
		}
		rows, err := describe(ctx, reader, section)
		if err != nil {
			return nil, err
		}
		if rows == nil {
			rows = []map[string]any{}
		}
		described[section] = rows
	}
	return described, nil
}

func describeTable(ctx context.Context, reader *store.Reader, section string) (rows []map[string]any, err error) {
	shown, err := readTable(ctx, reader, section)
	if err != nil {
		return nil, err
	}
	for _, row := range shown.Rows {
		described := map[string]any{}
		for i, column := range shown.Columns {
			if !slices.Contains(shown.skip, column) {
				described[column] = row[i]
			}
		}
		rows = append(rows, described)
	}
	return rows, nil
}

func describeParameters(ctx context.Context, reader *store.Reader, _ string) (rows []map[string]any, err error) {
	published, err := readParameters(ctx, reader)
	for _, p := range published {
		parameters := map[string]string{}
		for _, parameter := range p.parameters {
			parameters[parameter.ID] = parameter.Text
		}
		rows = append(rows, map[string]any{"partition": p.partition, "reference": p.reference, "software-type": p.softwareType, "connection-parameters": parameters})
	}
	return rows, err
}

func describeNetwork(ctx context.Context, reader *store.Reader, _ string) (rows []map[string]any, err error) {
	partitions, addresses, err := readNetwork(ctx, reader)
	for _, partition := range partitions {
		rows = append(rows, map[string]any{"partition": partition, "addresses": addresses[partition]})
	}
	return rows, err
}

func describeUsage(ctx context.Context, reader *store.Reader, _ string) (rows []map[string]any, err error) {
	reports, err := reader.Usage(ctx)
	for _, report := range reports {
		rows = append(rows, map[string]any{"time": usageTime(report.Time), "computer": report.Computer, "report": report.Report})
	}
	return rows, err
}
