// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/terminal"
	"slapos/networkcache"
)

func newCacheLookupBinaryCommand(e *environment) *cli.Command {
	options := new(lookupOptions)
	return &cli.Command{
		Name:      "binary-sr",
		Usage:     "show the builds of a release in the network cache",
		ArgsUsage: "URL-OR-MD5",
		Description: `Lists the systems for which the network cache has the built Software Release of
that URL, or of a URL with that md5 sum. Compatible are those that this node
could run, verified those with a signature it trusts. The age is that of the
signed date, if there is one.` + lookupExitCodes,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runCacheLookupBinary(c.Context, e, *options, c.Args().First())
		},
	}
}

var beginsWithMD5 = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{32}`) })

func runCacheLookupBinary(ctx context.Context, e *environment, options lookupOptions, name string) error {
	key := name
	if !beginsWithMD5().MatchString(name) {
		key = networkcache.ReleaseKey(name)
	}
	l := &lookup{
		lookupOptions: options,
		download:      "download-binary",
		key:           key,
		sharedKey:     networkcache.SharedReleaseKey(key),
		notFound:      "Software release not found in binary cache: " + name,
		unreachable:   "Problem occurred while connecting to shacache.",
		level:         levelCritical,
		failed:        "Error while looking object " + name,
		empty:         "Object found in cache, but has no binary entries.",
		ofPlatform:    true,
	}
	l.show = func(ctx context.Context, client *networkcache.Client, entries []networkcache.Entry, _ map[string]string) error {
		url, err := softwareURL(entries[0])
		if err != nil {
			return err
		}
		builds, err := binaryBuilds(ctx, client, entries)
		if err != nil {
			return err
		}
		if options.json {
			return e.printDocument(found{Key: key, SoftwareURL: url, Entries: builds})
		}
		rows := binaryRows(builds, e.now())
		e.log.Info("Software URL: " + url)
		e.log.Info("MD5:          " + key)
		for _, line := range tableLines(rows) {
			e.log.Info(line)
		}
		return nil
	}
	return l.run(ctx, e)
}

// A build is an entry of the binary cache.
type build struct {
	Multiarch    string     `json:"multiarch"`
	Distribution string     `json:"distribution"`
	Version      string     `json:"version"`
	ID           string     `json:"id"`
	Compatible   bool       `json:"compatible"`
	Verified     bool       `json:"verified"`
	Date         *time.Time `json:"date"` // null without a signed one
}

func binaryBuilds(ctx context.Context, client *networkcache.Client, entries []networkcache.Entry) (builds []build, err error) {
	here := networkcache.DetectPlatform(ctx, "/")
	for _, entry := range entries {
		platform, err := networkcache.EntryPlatform(entry)
		if err != nil {
			return nil, err
		}
		b := build{
			Multiarch: platform.Multiarch, Distribution: platform.OS[0], Version: platform.OS[1], ID: platform.OS[2],
			Compatible: platform.Compatible(here), Verified: client.Trusts(entry),
		}
		if date, dated := entry.Date(); dated {
			date = date.UTC()
			b.Date = &date
		}
		builds = append(builds, b)
	}
	return builds, nil
}

// binaryRows are sorted by platform, those not verified first. When an entry
// has a signed date, a last column tells ages (NC-47).
func binaryRows(builds []build, now time.Time) [][]string {
	var rows [][]string
	anyDated := false
	for _, b := range builds {
		age := "-"
		if b.Date != nil {
			age, anyDated = terminal.Age(now.Sub(*b.Date)), true
		}
		rows = append(rows, []string{b.Multiarch, b.Distribution, b.Version, b.ID, yesOrNo(b.Compatible), yesOrNo(b.Verified), age})
	}
	slices.SortStableFunc(rows, func(a, b []string) int { return slices.CompareFunc(a[:6], b[:6], strings.Compare) })
	rows = append([][]string{{"multiarch", "distribution", "version", "id", "compatible?", "verified?", "age"}}, rows...)
	if !anyDated {
		for i := range rows {
			rows[i] = rows[i][:6]
		}
	}
	return rows
}

func yesOrNo(yes bool) string {
	return map[bool]string{true: "yes", false: "no"}[yes]
}
