// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/pytext"
	"slapos/grid/pass"
	"slapos/networkcache"
	"slapos/slap"
	"slapos/slap/pyjson"
)

type lookupOptions struct {
	configuration string
	json, explain bool
}

func (o *lookupOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration), jsonFlag(&o.json, "print an object: key, and entries, a list of objects"),
		&cli.BoolFlag{Name: "explain", Destination: &o.explain, Usage: "say about each entry who signed it, and why it is used or not"},
	}
}

// found is what cachelookup --json prints.
type found struct {
	Key         string `json:"key"`
	SoftwareURL string `json:"software-url,omitempty"`
	Entries     any    `json:"entries"`
}

// A lookup asks shadir for one key and shows its entries.
type lookup struct {
	lookupOptions
	download    string // beginning of the names of the options with URLs
	key         string
	sharedKey   string // asked for when there is no key, on nodes with shared parts; may be empty
	notFound    string // message for a missing key
	unreachable string // message for an error of the server, at the level
	level       slog.Level
	failed      string // message for any other failure
	empty       string
	ofPlatform  bool // entries are of builds for a platform
	show        func(context.Context, *networkcache.Client, []networkcache.Entry, map[string]string) error
}

const lookupExitCodes = `

Exit codes: 0 found; 1 not found, or the cache can't be asked.`

// run looks up the key and shows the entries (CLI-61).
func (l *lookup) run(ctx context.Context, e *environment) error {
	configuration, err := e.nodeConfiguration(l.configuration)
	if err != nil {
		return err
	}
	options, err := networkCacheSection(configuration, l.download+"-dir-url", l.download+"-cache-url", "signature-certificate-list")
	if err != nil {
		return err
	}
	client, err := networkcache.NewClient(e.networkCacheConfig(options, l.download, ""))
	if err != nil {
		return err
	}
	node, err := configuration.Section("slapos")
	if err != nil {
		return err
	}
	entries, err := client.Entries(ctx, l.key)
	if errors.Is(err, networkcache.ErrNotFound) && l.sharedKey != "" && len(lines(node["shared_part_list"])) > 0 {
		if shared, sharedErr := client.Entries(ctx, l.sharedKey); sharedErr == nil {
			entries, err = shared, nil
		}
	}
	if err == nil && len(entries) == 0 {
		e.log.Info(l.empty)
		if l.json {
			return e.printDocument(found{Key: l.key, Entries: []string{}})
		}
		return nil
	}
	if err == nil {
		err = l.show(ctx, client, entries, options)
	}
	if err == nil && l.explain {
		l.explanation(ctx, e, client, entries)
	}
	var status *networkcache.StatusError
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case errors.Is(err, networkcache.ErrNotFound):
		e.log.Info(l.notFound)
	case errors.As(err, &status):
		e.log.Log(ctx, l.level, l.unreachable)
		e.log.Debug(err.Error())
	default:
		e.log.Log(ctx, levelCritical, l.failed, "error", err)
	}
	return &exitError{code: 1}
}

// explanation logs why each entry is used or not (NC-104).
func (l *lookup) explanation(ctx context.Context, e *environment, client *networkcache.Client, entries []networkcache.Entry) {
	var here *networkcache.Platform
	if l.ofPlatform {
		platform := networkcache.DetectPlatform(ctx, "/")
		here = &platform
	}
	for _, line := range client.Explain(ctx, entries, here) {
		e.log.Info(pass.Printable(line))
	}
}

// A sourceLookup is the lookup of a downloaded file or a package.
type sourceLookup struct {
	lookupOptions
	key    string
	field  string // of the entries that names it, for the table
	title  string // of the table
	failed string // message for other failures
}

func (s sourceLookup) run(ctx context.Context, e *environment) error {
	l := &lookup{
		lookupOptions: s.lookupOptions,
		download:      "download",
		key:           s.key,
		notFound:      "Object not found in cache.",
		unreachable:   "Problem to connect to shacache.",
		failed:        s.failed,
		empty:         "Object found in cache, but has no entry.",
	}
	l.show = func(_ context.Context, client *networkcache.Client, entries []networkcache.Entry, options map[string]string) error {
		rows := [][]string{{s.field, "sha512", "signed"}}
		var described []map[string]any
		for _, entry := range entries {
			row, err := sourceRow(entry, s.field)
			if err != nil {
				return err
			}
			signed := client.Trusts(entry)
			rows = append(rows, append(row, slap.PythonString(signed)))
			described = append(described, map[string]any{s.field: row[0], "sha512": row[1], "signed": signed})
		}
		if s.json {
			return e.printDocument(found{Key: s.key, Entries: described})
		}
		e.log.Info(s.title)
		e.log.Info(fmt.Sprintf("SHADIR URL: %s/%s\n", options["download-dir-url"], s.key))
		_, err := fmt.Fprintln(e.stdout, pass.Printable(strings.Join(tableLines(rows), "\n")))
		return err
	}
	return l.run(ctx, e)
}

func sourceRow(entry networkcache.Entry, field string) ([]string, error) {
	value, err := pyjson.Parse([]byte(entry.Content))
	if err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	about, ok := value.(*pytext.Object)
	if !ok {
		return nil, errors.New("the content of an entry is not a JSON object")
	}
	row := []string{}
	for _, name := range []string{field, "sha512"} {
		member, found := about.Get(name)
		if !found {
			return nil, fmt.Errorf("an entry has no %s", name)
		}
		row = append(row, slap.PythonString(pyjson.Plain(member)))
	}
	return row, nil
}

// softwareURL reads the URL in the entry of a release.
func softwareURL(entry networkcache.Entry) (string, error) {
	var about struct {
		URL *string `json:"software_url"`
	}
	if err := json.Unmarshal([]byte(entry.Content), &about); err != nil {
		return "", fmt.Errorf("entry: %w", err)
	}
	if about.URL == nil {
		return "", errors.New("an entry has no software_url")
	}
	return *about.URL, nil
}

// tableLines are those of a table with centred cells: rules above and below the
// first row and at the end, no vertical ones (NC-50).
func tableLines(rows [][]string) []string {
	widths := make([]int, len(rows[0]))
	total := 1
	for i := range widths {
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		total += widths[i] + 1
	}
	rule := strings.Repeat("-", total)
	lines := []string{rule}
	for number, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(" " + centred(cell, widths[i]))
		}
		lines = append(lines, line.String()+" ")
		if number == 0 {
			lines = append(lines, rule)
		}
	}
	return append(lines, rule)
}

// centred centres a text. An odd blank goes after a text of odd length, before
// one of even length.
func centred(text string, width int) string {
	length := utf8.RuneCountInString(text)
	space := width - length
	before := space / 2
	if space%2 == 1 && length%2 == 0 {
		before++
	}
	return strings.Repeat(" ", before) + text + strings.Repeat(" ", space-before)
}
